"""The control socket's server: who connects, one line in, one line out. What is asked for is the verbs' business.

Bounded in connections (overall and for each uid), in bytes and in time, so that nobody keeps it from another.
"""

import asyncio
import contextlib
import json
import logging
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder import rights
from recorder.catalogue.sqlite import Catalogue, CatalogueError
from recorder.config import Config
from recorder.control.request import Refusal, Request, parse
from recorder.control.verbs import VERBS, Actions, Sessions
from recorder.control_client import LINE_LIMIT, Code, address
from recorder.safe import quoted

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: struct ucred (unix(7))
_BACKLOG = 64
_PAUSE_S = 0.2

log = logging.getLogger("tacho.control")


class ControlError(Exception):
    """The control socket cannot be made; the text is one sentence with the path and the mend."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of what: bytes of a request, seconds for it to come and to be answered, connections."""

    line: int = LINE_LIMIT
    request: float = 5.0
    answer: float = 8.0
    connections: int = 32
    of_one_uid: int = 8


_USUAL = Bounds()


class Control:
    """The socket of one gateway: `async with` listens, and ends what is left of it at the end."""

    def __init__(self, config: Config, sessions: Sessions, catalogue: Catalogue, bounds: Bounds = _USUAL) -> None:
        self._path = config.socket
        self._actions = Actions(sessions, catalogue, time.time_ns())
        self._bounds = bounds
        self._free = asyncio.Semaphore(bounds.connections)
        self._of_uid: Counter[int] = Counter()
        self._accepted: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._file: tuple[int, int] | None = None
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Goes by the persons and agents of `config` from now on; the socket stays where it is."""
        self._callers = rights.known_here(config.persons, config.agents, config.path)

    async def __aenter__(self) -> Self:
        """Listens; ControlError when that cannot be. A socket that a dead gateway left is replaced."""
        listener = self._listener = _listen(self._path)
        found = self._path.stat()
        self._file = found.st_dev, found.st_ino
        self._serving = asyncio.create_task(self._serve(listener), name="control socket")
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._serving is None or self._listener is None:
            return
        self._serving.cancel()
        await asyncio.wait((self._serving,))
        for left in (self._listener, *self._accepted):
            left.close()
        if not self._serving.cancelled():
            log.error("the control socket ended by a defect of the gateway", exc_info=self._serving.exception())
        with contextlib.suppress(OSError):  # it is gone, or lies out of reach: there is nothing left to remove
            found = self._path.lstat()
            if (found.st_dev, found.st_ino) == self._file:
                self._path.unlink()

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as talks:
            while True:
                await self._free.acquire()
                try:
                    connection, _ = await loop.sock_accept(listener)
                    uid = _uid_at(connection)
                except OSError as error:
                    log.warning("cannot accept on the control socket: %s", error)
                    self._free.release()
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self._accepted.add(connection)
                talks.create_task(self._guarded(connection, uid))

    async def _guarded(self, connection: socket.socket, uid: int) -> None:
        welcome = self._of_uid[uid] < self._bounds.of_one_uid
        self._of_uid[uid] += welcome
        try:
            await self._talk(connection, uid, welcome)
        except (OSError, TimeoutError):
            pass  # the caller went away, or was too slow: it is the caller who has to ask again
        except Exception:
            # A defect in one request must not end the others.
            log.exception("a request on the control socket ended by a defect of the gateway")
        finally:
            self._of_uid[uid] -= welcome
            self._of_uid += Counter()  # forgets those without a connection
            self._free.release()

    async def _talk(self, connection: socket.socket, uid: int, welcome: bool) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=self._bounds.line)
        self._accepted.discard(connection)  # it is the transport's now
        try:
            try:
                if not welcome:
                    raise _too_many(uid, self._bounds.of_one_uid)
                while line := await self._line(reader):
                    await self._send(writer, await self._answer(line, uid))
            except Refusal as refusal:
                await self._send(writer, _refused(refusal))
            writer.close()
            async with asyncio.timeout(self._bounds.request):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """The next request; empty at the end. Refusal when it is too long or has no end."""
        try:
            async with asyncio.timeout(self._bounds.request):
                return await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise Refusal(Code.MALFORMED, f"a request has {self._bounds.line} bytes at most") from None
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise Refusal(Code.MALFORMED, "a request is one whole line") from None
            return b""

    async def _send(self, writer: asyncio.StreamWriter, answer: dict[str, object]) -> None:
        writer.write(json.dumps(answer).encode() + b"\n")
        async with asyncio.timeout(self._bounds.request):
            await writer.drain()

    async def _answer(self, line: bytes, uid: int) -> dict[str, object]:
        try:
            request = parse(line, self._callers.of(uid))
            async with asyncio.timeout(self._bounds.answer):
                return {"ok": True, **await self._run(request)}
        except Refusal as refusal:
            return _refused(refusal)
        except CatalogueError as error:
            return _refused(Refusal(Code.FAILED, str(error)))
        except TimeoutError:
            return _refused(Refusal(Code.FAILED, "the gateway could not do this in time: see its log, and ask again"))

    async def _run(self, request: Request) -> dict[str, object]:
        verb = VERBS.get(request.verb)
        if verb is None:
            known = ", ".join(VERBS)
            raise Refusal(Code.MALFORMED, f"the gateway knows no {quoted(request.verb, 64)}, only {known}")
        caller = request.caller
        refusal = self._callers.refusal(caller, verb.needs)
        if refusal is not None:
            log.warning("refused %s to uid %d: %s", request.verb, caller.uid, refusal)
            raise Refusal(Code.FORBIDDEN, refusal)
        answer = await verb.run(self._actions, request)
        if verb.needs is not None:
            log.info("%s by %s (uid %d)", request.verb, caller.person, caller.uid)
        return answer


def _uid_at(connection: socket.socket) -> int:
    """The uid of the process that connected, as the kernel knew it at that moment."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid


def _too_many(uid: int, most: int) -> Refusal:
    return Refusal(Code.BUSY, f"uid {uid} has {most} connections to the gateway already: end one of them")


def _refused(refusal: Refusal) -> dict[str, object]:
    return {"ok": False, "error": str(refusal), "code": refusal.code.value}


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _make_folder(path.parent)
        path.unlink(missing_ok=True)
        with address(path) as where:
            listener.bind(where)
        # Nobody can connect before it listens: no moment has other rights than these.
        path.chmod(0o660)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = f"{error.strerror or error}; mend the rights of {path.parent}"
        raise ControlError(f"cannot make the control socket {path}: {why}") from None
    return listener


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o750)
    except FileExistsError:
        return
    folder.chmod(folder.stat().st_mode | 0o750)  # whatever the umask: the group are the reviewers
