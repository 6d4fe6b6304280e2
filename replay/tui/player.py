"""The player's screen: puts the moment shown into every pane, and keys and clicks into the deck.

Panes know messages, not each other. It writes nothing, and lets nothing recorded act.
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.screen import Screen

from recorder.safe import printable
from replay.recording import State
from replay.recording.clock import stamp
from replay.timeline import MarkKind, Moment, NoSuchMoment
from replay.tui.arrangement import arrangement
from replay.tui.command_list import CommandList
from replay.tui.deck import Deck
from replay.tui.goto import GoTo
from replay.tui.help import Help
from replay.tui.keys import bindings
from replay.tui.screen_view import ScreenView
from replay.tui.standing import standing
from replay.tui.status import Status
from replay.tui.timeline_bar import TimelineBar
from replay.tui.title import TOLD, Title
from replay.tui.who import Who

if TYPE_CHECKING:
    from textual.timer import Timer

_TICK_S = 1 / 30
_LOOK_S = 0.1
_SHARE = 0.2  # of the time that goes into following at most: the rest is for keys, and for other programs
_BREATH_S = 0.001  # left to keys between two parts of a long survey
_FRAMES = 20_000  # surveyed at once: about a tenth of a second
_COST = 256 * 1024  # bytes of output drawn at once: likewise
_SHORT = 60_000_000
_SAID_TICKS = 120
_REASON = 200
_FOUND = {
    "command": {MarkKind.COMMAND},
    "marker": set(MarkKind) - {MarkKind.ALLOWED},
    "error": {MarkKind.ERROR, MarkKind.MISSING, MarkKind.REFUSED},
    "denied verdict": {MarkKind.DENIED, MarkKind.VERDICT},
}


class Player(Screen[None]):
    """Plays a deck."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    AUTO_FOCUS = "CommandList"
    DEFAULT_CSS = "Player { layout: vertical; } Player #panes { height: 1fr; }"

    def __init__(self, deck: Deck, at: int, *, playing: bool, follow: bool = False) -> None:
        """Begins at `at` µs; with `follow` at the end, where it goes on with the session."""
        super().__init__()
        self.deck = deck
        self._at = at
        self._playing = playing
        self._follow = follow
        self._told_state = deck.state
        self._described: tuple[object, ...] = ()
        self._rest_until = 0.0
        self._commands: bool | None = None
        self._who: bool | None = None
        self._surveyed = False
        self._catching_up = False
        self._said = ""
        self._said_ticks = 0
        self._ticks: Timer | None = None
        self._growth: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Title(self.deck.recording.session, stamp(self.deck.recording.start, "seconds"))
        with Horizontal(id="panes"):
            yield CommandList()
            yield ScreenView()
            yield Who()
        yield TimelineBar()
        yield Status()

    def on_mount(self) -> None:
        """Reads what a glance needs, then starts (Textual)."""
        self._ticks = self.set_interval(_TICK_S, self.tick, pause=True)
        self.deck.seek(Moment(self._at))
        self._survey()
        if self.deck.live and (self._follow or self.deck.playback.at_end):
            self.deck.seek_end()
        if self.deck.live or (self._follow and not self.deck.over):
            self._growth = self.set_interval(_LOOK_S, self._look)
        if self._playing and not self.deck.playback.at_end:
            self.deck.playback.play()
        self._moved()

    def on_resize(self, event: Resize) -> None:
        """Shows the panes that there is room for (Textual)."""
        self._arrange(event.size.width, event.size.height)

    def _arrange(self, width: int, height: int) -> None:
        plan = arrangement(width, height, self._commands, self._who)
        self.query_one(Title).display = plan.title
        listing = self.query_one(CommandList)
        listing.display = plan.commands
        listing.styles.width = plan.commands_width if plan.screen else "1fr"
        self.query_one(Who).display = plan.who
        self.query_one(ScreenView).display = plan.screen
        bar = self.query_one(TimelineBar)
        bar.display = plan.timeline > 0
        bar.styles.height = plan.timeline

    # Reading

    def _survey(self) -> None:
        self._surveyed = self.deck.survey(_FRAMES)
        if self._surveyed:
            self._list()
            self._describe()
            self._tell_state()
        else:
            self.set_timer(_BREATH_S, self._survey)
            self.query_one(TimelineBar).survey(self.deck.timeline, self.deck.playback.folding)
        self._moved()

    def _list(self) -> None:
        timeline = self.deck.timeline
        self.query_one(CommandList).list_commands(timeline.commands, precise=timeline.duration < _SHORT)
        self.query_one(TimelineBar).survey(timeline, self.deck.playback.folding)

    def _describe(self) -> None:
        session = replace(self.deck.recording.session, state=self.deck.state, size=0)
        damage, recoveries = self.deck.recording.damage, self.deck.timeline.recoveries
        described = session, tuple(damage), tuple(recoveries)
        if described != self._described:
            self._described = described
            self.query_one(Title).show(session)
            self.query_one(Who).show(session, damage, recoveries)

    def _tell_state(self) -> None:
        """Says when the session ended, was left by its gateway, or goes on; once it is over nothing can follow."""
        state = self.deck.state
        if state is not self._told_state:
            self._told_state = state
            closed = state is State.CLOSED
            reason = printable(self.deck.recording.session.reason, limit=_REASON) if closed else ""
            self._say(f"{TOLD[state]}{reason and f': {reason}'}")
        if self.deck.over and self._growth is not None:
            self._growth.stop()
            self._growth = None

    def _look(self) -> None:
        began = time.monotonic()
        if began >= self._rest_until:
            self.grow()
            self._rest_until = began + (time.monotonic() - began) / _SHARE

    def grow(self) -> None:
        """Looks whether a recording that is not over went on."""
        if self._surveyed and self.deck.grown():
            self._survey()

    # Drawing

    def tick(self) -> None:
        """Moves on by the clock."""
        moved = self.deck.tick()
        if self._said_ticks:
            self._said_ticks -= 1
        else:
            self._said = ""
        if moved:
            self._moved()

    def _moved(self) -> None:
        playback = self.deck.playback
        if self._ticks is not None:
            # At the live end there is nothing to move to before there is more.
            (self._ticks.resume if playback.playing and not self.deck.following else self._ticks.pause)()
        self.query_one(CommandList).show(playback.here.t, self.deck.stream)
        self.query_one(TimelineBar).show(playback.played)
        self._standing()
        self._show_screen()

    def _show_screen(self) -> None:
        shown = self.deck.shown(_COST)
        self.query_one(ScreenView).show(shown.view, pinned=self.deck.held is not None, busy=not shown.there)
        if not shown.there and not self._catching_up:
            self._catching_up = True
            self.call_later(self._catch_up)

    def _catch_up(self) -> None:
        self._catching_up = False
        self._show_screen()

    def _standing(self) -> None:
        read = 1.0 if self._surveyed else self.deck.share_read
        self.query_one(Status).show(standing(self.deck, self._said, read))

    def _jumped(self) -> None:
        self._said = ""
        self.query_one(ScreenView).release()
        self._moved()

    def _say(self, text: str) -> None:
        """Tells something in the status line, until the next jump or for a few ticks of playing."""
        self._said, self._said_ticks = text, _SAID_TICKS
        self._standing()

    # What panes say

    def on_command_list_chosen(self, message: CommandList.Chosen) -> None:
        """A command was chosen: goes to its start."""
        self.deck.go_to(message.command.start, message.command.frame, message.command.stream)
        self._jumped()

    def on_timeline_bar_seek(self, message: TimelineBar.Seek) -> None:
        """A place on the timeline was pointed at."""
        self.deck.seek_played(message.played)
        self._jumped()

    # Keys

    def action_play(self) -> None:
        self.deck.toggle()
        self._moved()

    def action_speed(self, step: int) -> None:
        self.deck.change_speed(step)
        self._moved()

    def action_fold(self) -> None:
        self.deck.toggle_folding()
        self.query_one(TimelineBar).survey(self.deck.timeline, self.deck.playback.folding)
        self._moved()

    def action_stream(self) -> None:
        self.deck.hold_next()
        self._jumped()

    def action_skip(self, seconds: int) -> None:
        self.deck.skip(seconds)
        self._jumped()

    def action_frame(self, step: int) -> None:
        found = self.deck.step(step)
        self._jumped()
        if not found:
            self._say("no later frame" if step > 0 else "no earlier frame")

    def action_start(self) -> None:
        self.deck.seek(Moment(0))
        self._jumped()

    def action_end(self) -> None:
        self.deck.seek_end()
        self._jumped()

    def action_follow(self) -> None:
        self.deck.seek_end()
        self._jumped()
        if not self.deck.live:
            self._say(f"there is nothing to follow: {TOLD[self.deck.state]}")

    def action_tenth(self, tenth: int) -> None:
        self.deck.seek_played(self.deck.playback.folding.duration * tenth // 10)
        self._jumped()

    def action_find(self, name: str, step: int) -> None:
        mark = self.deck.go_to_mark(_FOUND[name], step)
        if mark is None:
            self._say(f"no {'later' if step > 0 else 'earlier'} {name}")
            return
        self._jumped()
        if mark.kind is not MarkKind.COMMAND:
            self._say(mark.text)

    def action_panel(self, name: str) -> None:
        if name == "who":
            self._who = not self.query_one(Who).display
        else:
            self._commands = not self.query_one(CommandList).display
        self._arrange(self.size.width, self.size.height)
        if name == "commands" and self._commands:
            self.query_one(CommandList).focus()

    def action_scroll(self, columns: int, rows: int) -> None:
        view = self.query_one(ScreenView)
        view.scroll_by(columns * 8, rows * max(view.size.height // 2, 1))

    def action_help(self) -> None:
        self.app.push_screen(Help())

    def action_goto(self) -> None:
        self.app.push_screen(GoTo(), self._go_to_text)

    def _go_to_text(self, written: str | None) -> None:
        if not written:
            return
        try:
            self.deck.seek_text(written)
        except NoSuchMoment as error:
            self._say(str(error))
        else:
            self._jumped()
