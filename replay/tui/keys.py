"""The player's keys: one table, from which the bindings, the help and the command palette are made."""

from typing import NamedTuple

from textual.binding import Binding


class Key(NamedTuple):
    """One line of the help: Textual's names of the keys, the action, how the keys are written, what they do."""

    keys: str
    action: str
    written: str
    text: str


class Group(NamedTuple):
    """Keys that belong together, under a title."""

    title: str
    keys: tuple[Key, ...]


GROUPS = (
    Group(
        "Play",
        (
            Key("space", "play", "space", "play or pause"),
            Key("less_than_sign", "speed(-1)", "<", "slower"),
            Key("greater_than_sign", "speed(1)", ">", "faster"),
            Key("i", "fold", "i", "fold idle time, or play it"),
            Key("s", "stream", "s", "next channel; then follow again"),
        ),
    ),
    Group(
        "Move",
        (
            Key("left,h", "skip(-5)", "← h", "back 5 s"),
            Key("right,l", "skip(5)", "→ l", "on 5 s"),
            Key("shift+left,H", "skip(-60)", "shift+←", "back 60 s"),
            Key("shift+right,L", "skip(60)", "shift+→", "on 60 s"),
            Key("comma", "frame(-1)", ",", "back one frame"),
            Key("full_stop", "frame(1)", ".", "on one frame"),
            Key("g", "start", "g", "start"),
            Key("G", "end", "G", "end; follows when live"),
            Key("F", "follow", "F", "follow the live session again"),
            Key("colon", "goto", ":", "go to 1:23, +5, @cmd:12, @frame:9"),
            *(Key(str(tenth), f"tenth({tenth})", f"{tenth}", f"{tenth} tenths") for tenth in range(10)),
        ),
    ),
    Group(
        "Find",
        (
            Key("left_curly_bracket", "find('command', -1)", "{", "previous command"),
            Key("right_curly_bracket", "find('command', 1)", "}", "next command"),
            Key("left_square_bracket", "find('marker', -1)", "[", "previous marker"),
            Key("right_square_bracket", "find('marker', 1)", "]", "next marker"),
            Key("e", "find('error', 1)", "e", "next error"),
            Key("E", "find('error', -1)", "E", "previous error"),
            Key("v", "find('denied verdict', 1)", "v", "next denied verdict"),
            Key("V", "find('denied verdict', -1)", "V", "previous denied verdict"),
        ),
    ),
    Group(
        "Look",
        (
            Key("c", "panel('commands')", "c", "commands: show or hide"),
            Key("w", "panel('who')", "w", "who: show or hide"),
            Key("pageup", "scroll(0, -1)", "page up", "screen: what is above"),
            Key("pagedown", "scroll(0, 1)", "page down", "screen: what is below"),
            Key("ctrl+left", "scroll(-1, 0)", "ctrl+←", "screen: what is left"),
            Key("ctrl+right", "scroll(1, 0)", "ctrl+→", "screen: what is right"),
            Key("question_mark", "help", "?", "help"),
            Key("q", "quit", "q", "quit"),
        ),
    ),
)


def bindings() -> list[Binding]:
    """The bindings of the player's screen."""
    made = []
    for group in GROUPS:
        for key in group.keys:
            action = "app.quit" if key.action == "quit" else key.action
            made.append(Binding(key.keys, action, key.text, key_display=key.written, show=False))
    return made


def help_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    """Titles, each with the keys as written and what they do; the ten digits are one line."""
    lines = []
    for group in GROUPS:
        told = [(key.written, key.text) for key in group.keys if not key.action.startswith("tenth")]
        if len(told) < len(group.keys):
            told.append(("0 … 9", "tenths of the session"))
        lines.append((group.title, told))
    lines[-1][1].insert(-1, ("ctrl+p", "every command by name"))
    return lines
