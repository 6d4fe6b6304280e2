"""Drives the player by keys and mouse with a clock of the test's own, and reads what it shows."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from recorder.format.frame import Kind
from replay import recording
from replay.tui import PlayerApp
from tests.replay.tapes import Tape

Script = Callable[["Driver"], Awaitable[None]]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Driver:
    """The player under test."""

    def __init__(self, app: PlayerApp, pilot: Pilot[None], clock: Clock) -> None:
        self.app = app
        self.pilot = pilot
        self.clock = clock
        self.player = app.player
        self.deck = app.player.deck

    @property
    def t(self) -> int:
        """The moment shown, in ms."""
        return self.deck.playback.here.t // 1000

    async def press(self, *keys: str) -> None:
        """Presses keys and waits until what they bring is drawn."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def pass_time(self, seconds: float) -> None:
        """Lets time pass, as far as the player can tell."""
        self.clock.now += seconds
        self.player.tick()
        await self.pilot.pause()

    async def look(self) -> None:
        """Has the player look whether the recording went on."""
        self.player.grow()
        await self.pilot.pause()

    def lines(self) -> list[str]:
        """What the terminal shows, line by line."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips(self.app.size)]

    def text(self) -> str:
        """What the terminal shows."""
        return "\n".join(self.lines())


def drive(
    path: Path,
    script: Script,
    *,
    size: tuple[int, int] = (120, 35),
    at: int = 0,
    playing: bool = False,
    speed: float = 1.0,
    idle: float = 2.0,
    follow: bool = False,
) -> None:
    """Opens the tape at `path` in the player and runs `script` on it."""

    async def run() -> None:
        clock = Clock()
        with recording.open(path) as opened:
            app = PlayerApp(opened, at, speed, idle, playing=playing, follow=follow, clock=clock)
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                await script(Driver(app, pilot, clock))

    asyncio.run(run())


def session(tapes: Path) -> Path:
    """A shell with a pause of a minute, three commands, an error and a denial; 80 s, as the comments say."""
    tape = Tape(tapes).open(on_behalf_of="ana", request="OPS-4711").shell(1, 40, 6)
    tape.put(Kind.OUT, 1, b"$ ", 100).put(Kind.IN, 1, b"l", 1_000).put(Kind.OUT, 1, b"l", 1_001)
    tape.put(Kind.OUT, 1, b"s\r\nfirst\r\n$ ", 2_000)
    tape.note(2, "channel", 10_000, type="session").note(2, "exec", 10_001, command=b"make all").allow(2, "exec")
    tape.put(Kind.OUT, 2, b"compiling\n", 10_100).put(Kind.ERR, 2, b"no rule\n", 10_200)
    tape.note(2, "exit", 10_300, status=2).note(2, "close", 10_301)
    tape.put(Kind.VERDICT, 0, {"operation": "forward", "effect": "deny", "rule": "r", "reason": "no ports"}, 15_000)
    tape.put(Kind.OUT, 1, b"\x1b[2Jsecond", 75_000)
    tape.note(3, "channel", 76_000, type="session").note(3, "exec", 76_001, command=b"true").allow(3, "exec")
    tape.note(3, "exit", 76_100, status=0).note(3, "close", 76_101)
    tape.note(1, "exit", 79_900, status=0).note(1, "close", 79_901)
    tape.put(Kind.CLOSE, 0, {"reason": "the agent left", "bytes_in": 1, "bytes_out": 50}, 80_000)
    return tape.finish()
