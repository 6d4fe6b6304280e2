"""Which panes there is room for, by the size of the terminal and by what the person asked to see. Pure."""

from typing import NamedTuple

_BOTH = 150
_COMMANDS = 100
_LEAST_SCREEN = 30
_USUAL_SCREEN = 92  # cells: 80, a border, and some more
_WHO = 34  # cells, as the panel's own style says


class Arrangement(NamedTuple):
    """What is shown: panes, and how many lines the timeline has; `commands_width` in cells."""

    title: bool
    commands: bool
    who: bool
    screen: bool
    timeline: int
    commands_width: int


def arrangement(width: int, height: int, commands: bool | None, who: bool | None) -> Arrangement:
    """The panes for a terminal of `width` by `height` cells; None leaves a side panel to the room there is.

    A panel that was asked for takes the place of the screen where there is not room for both.
    """
    show_commands = width >= _COMMANDS if commands is None else commands
    show_who = width >= _BOTH if who is None else who
    left = width - _WHO * show_who
    commands_width = min(max(left - _USUAL_SCREEN, 26), 40)
    left -= commands_width * show_commands
    return Arrangement(
        title=height >= 12,
        commands=show_commands,
        who=show_who,
        screen=left >= _LEAST_SCREEN or not (show_commands or show_who),
        timeline=4 if height >= 30 else 2 if height >= 14 else 1 if height >= 6 else 0,
        commands_width=commands_width,
    )
