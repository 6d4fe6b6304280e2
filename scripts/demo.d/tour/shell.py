"""Processes of the embedded SSH server: a shell or a command, on a pseudo-terminal or on pipes. Knows no keys.

Both forms return the exit status, or minus the number of the signal that ended the process.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import struct
import termios
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh

_PIECE = 32 * 1024
_QUIET_S = 0.2  # how long output may still come from what the shell left behind
_HANGUP_S = 2.0

Process = asyncssh.SSHServerProcess[bytes]

# Opens the terminal as the leader of a fresh session, which makes it the controlling one, then becomes the program.
_ON_TERMINAL = 'tty=$1; shift; exec "$@" <"$tty" >"$tty" 2>&1'


@dataclass(frozen=True, slots=True)
class Work:
    """What to run: a login shell when `command` is None, else the shell with that command."""

    command: str | None
    home: Path
    environment: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        """The program and its arguments."""
        program = program_of_shell()
        return [program, "-l"] if self.command is None else [program, "-c", self.command]


def program_of_shell() -> str:
    """bash where there is one, else sh."""
    return shutil.which("bash") or "/bin/sh"


def signal_name(number: int) -> str:
    """The name as RFC 4254 section 6.10 writes it: without SIG."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


async def on_terminal(process: Process, work: Work) -> int:
    """Runs `work` on a pseudo-terminal of its own, in a session of its own, with job control."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    try:
        _resize(master, *process.term_size)
        os.set_blocking(master, False)
        child = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _ON_TERMINAL, "sh", name, *work.arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            cwd=work.home,
            env=work.environment | {"TERM": process.term_type or "dumb", "SSH_TTY": name},
        )
        output = asyncio.create_task(_from_terminal(master, process))
        typing = asyncio.create_task(_to_terminal(master, process, child.pid))
        try:
            status = await child.wait()
            os.close(slave)
            slave = -1
            await asyncio.wait([output], timeout=_QUIET_S)
        finally:
            await _stop(typing, output)
            await _hang_up(child)
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)
    return status


async def on_pipes(process: Process, work: Work) -> int:
    """Runs `work` without a terminal, stdout and stderr apart."""
    child = await asyncio.create_subprocess_exec(
        *work.arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd=work.home,
        env=work.environment,
    )
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("a process without the pipes that it was started with")
    outputs = [
        asyncio.create_task(_from_pipe(child.stdout, process.stdout)),
        asyncio.create_task(_from_pipe(child.stderr, process.stderr)),
    ]
    typing = asyncio.create_task(_to_pipe(child.stdin, process, child.pid))
    try:
        await asyncio.wait(outputs)
        status = await child.wait()
    finally:
        await _stop(typing, *outputs)
        await _hang_up(child)
    return status


async def _from_terminal(master: int, process: Process) -> None:
    while True:
        await _ready(asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader, master)
        try:
            data = os.read(master, _PIECE)
        except BlockingIOError:
            continue
        except OSError:
            return  # EIO: nobody has the terminal open any more
        if not data:
            return
        process.stdout.write(data)
        await process.stdout.drain()


async def _to_terminal(master: int, process: Process, leader: int) -> None:
    loop = asyncio.get_running_loop()

    async def write(data: bytes) -> None:
        while data:
            try:
                data = data[os.write(master, data) :]
            except BlockingIOError:
                await _ready(loop.add_writer, loop.remove_writer, master)

    def tell(number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(os.tcgetpgrp(master) or leader, number)

    await _typed(process, write, lambda columns, rows: _resize(master, columns, rows), tell)
    await process.channel.wait_closed()
    _signal(leader, signal.SIGHUP)


async def _to_pipe(stdin: asyncio.StreamWriter, process: Process, leader: int) -> None:
    async def write(data: bytes) -> None:
        stdin.write(data)
        await stdin.drain()

    with contextlib.suppress(ConnectionError):  # the process reads no more
        await _typed(process, write, _no_window, lambda number: _signal(leader, number))
    stdin.close()
    await process.channel.wait_closed()
    _signal(leader, signal.SIGHUP)


async def _typed(
    process: Process,
    write: Callable[[bytes], Awaitable[None]],
    resize: Callable[[int, int], None],
    tell: Callable[[int], None],
) -> None:
    """Carries what the client sends until its end: bytes, sizes, signals."""
    while True:
        try:
            data = await process.stdin.read(_PIECE)
        except asyncssh.TerminalSizeChanged as change:
            resize(change.width, change.height)
        except asyncssh.SignalReceived as received:
            number = getattr(signal, f"SIG{received.signal}", None)
            if isinstance(number, signal.Signals):
                tell(number)
        except asyncssh.BreakReceived:
            tell(signal.SIGINT)
        except (asyncssh.Error, OSError):
            return  # the connection is gone
        else:
            if not data:
                return
            await write(data)


async def _from_pipe(source: asyncio.StreamReader, target: "asyncssh.SSHWriter[bytes]") -> None:
    while data := await source.read(_PIECE):
        target.write(data)
        await target.drain()


async def _ready(add: Callable[..., object], remove: Callable[[int], object], descriptor: int) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, wake)
    try:
        await ready
    finally:
        remove(descriptor)


def _resize(master: int, columns: int, rows: int, width: int = 0, height: int = 0) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))


def _no_window(_columns: int, _rows: int) -> None:
    """What has no terminal has no size."""


def _signal(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


async def _hang_up(child: asyncio.subprocess.Process) -> None:
    """Ends the process when it still runs: SIGHUP, then SIGKILL."""
    for number in (signal.SIGHUP, signal.SIGKILL):
        if child.returncode is not None:
            return
        _signal(child.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANGUP_S):
                await child.wait()


async def _stop(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(error, Exception) and not isinstance(error, (asyncssh.Error, OSError)):
            raise error
