"""The connections that have not authenticated yet, over all listeners: who must go when there are too many.

Nobody is refused at the door: a newcomer takes the place of one that is likelier never to authenticate. So a crowd
that only hangs around competes with itself, and an honest client passes through it.
"""

import asyncio
import logging
from collections import Counter
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Protocol

_REPORT_S = 1.0  # at least, between two lines that count
_LINES = 200  # of the log, one a connection, that may come at once
_LINES_A_SECOND = 5.0

log = logging.getLogger("tacho.ssh")


class Stage(IntEnum):
    """How far a connection has come. Each costs the client more than the one before."""

    GONE = 0  # it is over, and its socket not closed yet
    SILENT = 1
    GREETED = 2  # it has sent its version
    NEGOTIATING = 3  # it has begun the key exchange
    KEYED = 4  # it has sent its half of the keys
    AUTHENTICATING = 5  # it has sent an encrypted request: it has done the cryptography


class Newcomer(Protocol):
    """A connection that has not authenticated."""

    @property
    def source(self) -> str:
        """The address it comes from."""

    @property
    def stage(self) -> Stage:
        """How far it has come."""

    def expel(self) -> None:
        """Closes it at once."""


class Crowd:
    """The connections that have not authenticated, oldest first."""

    def __init__(self) -> None:
        self._present: dict[Newcomer, str] = {}
        self._shares: Counter[str] = Counter()
        self._expelled = 0
        self._unsaid = 0
        self._lines = float(_LINES)
        self._counted = 0.0  # the loop's time at which _lines was right
        self._reporting: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._present)

    def enter(self, newcomer: Newcomer, limit: int) -> None:
        """Takes a newcomer in, and expels others as long as there are more than `limit`."""
        share = _share(newcomer.source)
        self._present[newcomer] = share
        self._shares[share] += 1
        while len(self._present) > max(limit, 1):
            victim = self._victim(newcomer)
            self.leave(victim)
            victim.expel()
            self._expelled += 1
        if self._expelled and self._reporting is None:
            self._report()

    def tell(self, level: int, message: str, *arguments: object) -> None:
        """Logs a line about one connection; of very many, the rest is only counted, so that no crowd fills the disk."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._lines = min(self._lines + (now - self._counted) * _LINES_A_SECOND, _LINES)
        self._counted = now
        if self._lines >= 1:
            self._lines -= 1
            log.log(level, message, *arguments)
            return
        self._unsaid += 1
        if self._reporting is None:
            self._reporting = loop.call_later(_REPORT_S, self._report)

    def leave(self, newcomer: Newcomer) -> None:
        """Forgets one that has authenticated, or whose socket is closed."""
        share = self._present.pop(newcomer, None)
        if share is not None:
            self._shares[share] -= 1
            self._shares += Counter()  # forgets those without a connection

    def _victim(self, newcomer: Newcomer) -> Newcomer:
        """Of those whose address has most: the oldest of the stage at which most of them are, or one that is over.

        Whoever hangs at one stage therefore pushes only its like out, and nobody can fill the stages that follow
        without doing what they cost.
        """
        most = max(self._shares.values())
        others = [other for other, share in self._present.items() if self._shares[share] == most]
        stages = [other.stage for other in others]
        count = Counter(stages)
        chosen = Stage.GONE if Stage.GONE in count else max(count, key=lambda stage: count[stage])
        return next(
            (other for other, stage in zip(others, stages, strict=True) if stage is chosen and other is not newcomer),
            next(other for other in self._present if other is not newcomer),
        )

    def _report(self) -> None:
        """Says how many were expelled or not told of: now, and then at most once in a while."""
        self._reporting = None
        if not self._expelled and not self._unsaid:
            return
        if self._expelled:
            log.warning(
                "%d connections that had not authenticated were closed to make room for newer ones"
                " ([limits] unauthenticated)",
                self._expelled,
            )
        if self._unsaid:
            log.warning("%d more lines about connections that did not authenticate are left out", self._unsaid)
        self._expelled = self._unsaid = 0
        self._reporting = asyncio.get_running_loop().call_later(_REPORT_S, self._report)


def _share(address: str) -> str:
    """What counts as one source: an IPv4 address, a /64 network of IPv6."""
    host = address.partition("%")[0]
    try:
        return IPv6Address(host).packed[:8].hex() if ":" in host else host
    except ValueError:
        return host
