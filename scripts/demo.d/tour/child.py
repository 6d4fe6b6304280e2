"""A process that the demo starts: in a session of its own, so that Ctrl-C reaches the demo alone, and always ended."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_TERM_LIMIT_S = 15.0
_KILL_LIMIT_S = 5.0
_GROUP_POLL_S = 0.02
_GROUP_POLLS = 100


class Child:
    """A running program; its stdout can be read line by line, its stderr goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, arguments: Sequence[str], *, errors: Path, cwd: Path | None = None) -> "Child":
        """Starts the program; OSError when it cannot be started."""
        file: IO[bytes]
        with errors.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                cwd=cwd,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        return cls(process)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.returncode is not None

    async def line(self) -> str:
        """The next line of its stdout; empty at the end."""
        if self._process.stdout is None:
            return ""
        return (await self._process.stdout.readline()).decode("utf-8", "replace")

    async def wait(self) -> int:
        """Its exit status, when it has ended."""
        return await self._process.wait()

    async def stop(self) -> int:
        """Ends it: SIGTERM, and SIGKILL when that does not help in time; returns its exit status."""
        for number, limit in ((signal.SIGTERM, _TERM_LIMIT_S), (signal.SIGKILL, _KILL_LIMIT_S)):
            if self.ended:
                break
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._process.wait()
        await self._empty_group()
        return self._process.returncode if self._process.returncode is not None else -int(signal.SIGKILL)

    async def _empty_group(self) -> None:
        """Waits for what the program itself started, in its process group; ends it when it stays."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            for number in (0, signal.SIGTERM, signal.SIGKILL):
                os.killpg(self._process.pid, number)
                for _ in range(_GROUP_POLLS):
                    await asyncio.sleep(_GROUP_POLL_S)
                    os.killpg(self._process.pid, 0)
