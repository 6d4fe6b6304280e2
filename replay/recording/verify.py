"""Whether a recording is what was written: every byte, every signature, every segment.

It trusts no INDEX and no catalogue row beyond the signed heads, and never says more than it has checked.
"""

import base64
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from recorder.format.seal import Header
from recorder.model import Head, State
from recorder.safe import printable
from replay.recording.audit import audit, header_of
from replay.recording.chain import chained, continued, unbegun, written_again
from replay.recording.clock import clock, stamp
from replay.recording.errors import Unreadable
from replay.recording.findings import Audit, Fault, Trouble

_FAULTS = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found. `duration` is µs, `start` UNIX ns; `signers` are (name, raw public key) of the gateways.

    `facts` are sentences to be said that are no faults.
    """

    session: str
    state: State
    start: int
    duration: int
    segments: int
    chunks: int
    frames: int
    unsealed: int
    gaps: int
    faults: tuple[Fault, ...]
    more_faults: int
    signers: tuple[tuple[str, bytes], ...]
    key_named: bool
    heads_known: bool
    facts: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong: complete, recovered, or live so far."""
        return not self.faults


def verify(
    paths: Sequence[Path],
    *,
    session: str | None = None,
    heads: Sequence[tuple[Head, bool]] | None = None,
    key: bytes | None = None,
) -> Report:
    """Checks the segments at `paths`, in any order.

    With `session`, all of them must be of it; without, those of another session than the first are left out. `heads`
    are the catalogue's newest of the session, each with whether it is a running one, read before this is called; None
    when there is no catalogue. `key` is the gateway's raw public key, None when none was named.

    Unreadable when `paths` is empty, OSError when a file cannot be read.
    """
    if not paths:
        raise Unreadable("no tape was named")
    found = [header_of(path) for path in paths]
    audits = [audit(path, heads or (), continued(header, found)) for path, header in zip(paths, found, strict=True)]
    faults: list[Fault] = []
    mine = _of_session(audits, session, faults)
    without = {number: found for found in audits if (number := unbegun(found, mine)) is not None}
    mine = [found for found in mine if found not in without.values()]
    facts = [
        f"segment {number} was never begun: its {found.length} bytes hold no frame" for number, found in without.items()
    ]
    headers = [found.header for found in mine if found.header is not None]
    faults += [fault for found in mine for fault in found.faults]
    faults += _numbering(headers, heads or (), without)
    for before, after in pairwise(mine):
        faults += chained(before, after, without)
        facts.append(written_again(before, after))
    faults += _not_named(headers, key)
    state = _state(mine)
    start = headers[0].start if headers else 0
    duration = max(found.last_t for found in mine)
    faults += _end(mine, state, start, duration, altered=bool(faults))
    return Report(
        session=headers[0].session if headers else session or "",
        state=state,
        start=start,
        duration=duration,
        segments=len(mine) + len(without),
        chunks=sum(found.chunks for found in mine),
        frames=sum(found.counted for found in mine),
        unsealed=mine[-1].unsealed,
        gaps=sum(found.gaps for found in mine),
        faults=tuple(faults[:_FAULTS]),
        more_faults=sum(found.more_faults for found in mine) + max(len(faults) - _FAULTS, 0),
        signers=tuple(dict.fromkeys((header.gateway, header.gateway_key) for header in headers)),
        key_named=key is not None,
        heads_known=bool(heads),
        facts=tuple(filter(None, facts)),
    )


def _of_session(audits: list[Audit], session: str | None, faults: list[Fault]) -> list[Audit]:
    """The audits of the session's segments in order; those that cannot be told apart come first."""
    strict = session is not None
    headers = [found.header for found in audits if found.header is not None]
    session = session if session is not None else headers[0].session if headers else None
    mine = []
    for found in audits:
        if found.header is None or found.header.session == session:
            mine.append(found)
        elif strict:
            name = printable(found.path.name, limit=64)
            faults.append(Fault(Trouble.ALTERED, f"{name} is the tape of another session", found.header.segment))
    if not strict:  # beside a file that was named, others that are no tapes at all are not its segments
        mine = [found for found in mine if found.header is not None or found is audits[0]]
    return sorted(mine or audits[:1], key=lambda found: found.header.segment if found.header else -1)


def _numbering(headers: list[Header], heads: Sequence[tuple[Head, bool]], unbegun: Collection[int]) -> list[Fault]:
    """Segments are numbered from 0 without a gap, up to the last that the catalogue knows."""
    there = {header.segment for header in headers}
    repeated = len(there) < len(headers)
    there.update(unbegun)
    last = max(there, default=-1)
    known = {head.segment for head, _ in heads}
    faults = [
        Fault(Trouble.TAIL_MISSING, f"the catalogue knows segment {number}, which is missing", number)
        for number in sorted(known - there)
        if number > last
    ]
    if repeated:
        faults.append(Fault(Trouble.ALTERED, "two segments have the same number"))
    missing = last + 1 - len(there)
    if missing > 0:
        first = next(number for number in range(last) if number not in there)
        faults.append(Fault(Trouble.ALTERED, f"{missing} of the segments before segment {last} are missing", first))
    return faults


def _not_named(headers: list[Header], key: bytes | None) -> list[Fault]:
    return [
        Fault(Trouble.OTHER_KEY, f"{printable(header.gateway, limit=64)}, {fingerprint(header.gateway_key)}", number)
        for number, header in enumerate(headers)
        if key is not None and header.gateway_key != key
    ]


def _state(audits: list[Audit]) -> State:
    last = audits[-1]
    if last.finished:
        return State.RECOVERED if any(found.recovers for found in audits) else State.CLOSED
    return State.LIVE if last.live else State.UNCLOSED


def _end(audits: list[Audit], state: State, start: int, duration: int, *, altered: bool) -> list[Fault]:
    """A session ends with a close frame; in a tape that was altered, what stands at the end says little."""
    last = audits[-1]
    number = last.header.segment if last.header else 0
    if state is State.UNCLOSED and last.header is not None:
        when = stamp(start + duration * 1000, "seconds")
        return [Fault(Trouble.UNCLOSED, f"the gateway stopped at {when} ({clock(duration)})", number)]
    if last.finished and not last.closed and not altered:
        text = "the tape ends without a close: what followed is not there"
        return [Fault(Trouble.TAIL_MISSING, text, number)]
    return []


def fingerprint(key: bytes) -> str:
    """`SHA256:…` of a raw public key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
