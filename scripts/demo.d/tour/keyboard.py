"""A terminal session as the agent has it: it types like a person in a hurry, and waits for what it sees."""

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncssh

from tour.failure import DemoError

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|P[^\x1b]*\x1b\\|[ -/]*[0-~])")
_LIMIT_S = 15.0
_KEY_S = 0.011  # on average between two keys
_GLANCE_S = 0.12  # before a command is typed


class Keyboard:
    """A shell on a pseudo-terminal, from the agent's chair."""

    def __init__(self, process: "asyncssh.SSHClientProcess[str]") -> None:
        self._process = process
        self._seen = ""
        self._news = asyncio.Event()
        self._over = False
        self._dice = random.Random(4711)

    async def read(self) -> None:
        """Takes what the terminal shows, until it ends."""
        while data := await self._process.stdout.read(65536):
            self._seen += data
            self._news.set()
        self._over = True
        self._news.set()

    async def type(self, text: str) -> None:
        """Types `text` key by key."""
        for character in text:
            self._process.stdin.write(character)
            await asyncio.sleep(self._dice.uniform(0.3, 1.7) * _KEY_S)

    async def press(self, keys: str) -> None:
        """Sends keys at once; what was seen before them counts no more."""
        self._seen = ""
        self._process.stdin.write(keys)

    async def expect(self, pattern: str, limit: float = _LIMIT_S) -> str:
        """Waits until `pattern` is seen since the last press, colours aside; returns the match."""
        try:
            async with asyncio.timeout(limit):
                while not (found := re.search(pattern, _ESCAPES.sub("", self._seen))):
                    if self._over:
                        raise DemoError(f"the shell ended while the agent waited for {pattern!r}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            shown = _ESCAPES.sub("", self._seen)[-200:]
            raise DemoError(f"the agent waited {limit:.0f} s for {pattern!r} and saw {shown!r}") from None
        return found[0]

    async def prompt(self) -> None:
        """Waits for the shell's prompt."""
        await self.expect(r"@web1:[^\r\n]*[$#] \Z")

    async def command(self, line: str) -> None:
        """Types a command line, and waits for the prompt that follows it."""
        await self.begin(line)
        await self.prompt()

    async def begin(self, line: str) -> None:
        """Types a command line and presses Enter."""
        await asyncio.sleep(_GLANCE_S)
        await self.type(line)
        await self.press("\r")

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size of the terminal's window."""
        self._process.change_terminal_size(columns, rows)


@asynccontextmanager
async def shell(
    connection: asyncssh.SSHClientConnection, environment: Mapping[str, str], size: tuple[int, int]
) -> AsyncIterator[Keyboard]:
    """A login shell on a terminal of `size` (columns, rows); the block ends it by leaving."""
    process = await connection.create_process(
        env=dict(environment), term_type="xterm-256color", term_size=size, encoding="utf-8", errors="replace"
    )
    keyboard = Keyboard(process)
    reading = asyncio.create_task(keyboard.read())
    try:
        yield keyboard
        async with asyncio.timeout(_LIMIT_S):
            await process.wait_closed()
            await reading
    except TimeoutError:
        raise DemoError("the shell did not end after `exit`") from None
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        process.close()
