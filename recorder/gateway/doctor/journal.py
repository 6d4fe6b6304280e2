"""The journal: can one be made, and does anything of a gateway that was killed wait in it? Reads only."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

from recorder.format import journal
from recorder.format.spool import JOURNAL
from recorder.gateway import room
from recorder.gateway.doctor.finding import Finding, counted, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup

_ABOUT = "journal"
_MIB = 1024 * 1024
_SIZE = journal.HEADER + journal.CAPACITY
_LEFT_LIMIT = 256 * _MIB  # bytes of entries that were set aside which are looked at


def check(setup: Setup) -> Iterator[Finding]:
    """Room for it, and what waits for recovery."""
    folder = setup.config.journal
    left = sorted(folder.glob(f"*{journal.LEFT}"))
    aside = _sessions(left)
    if setup.running.at_work:
        if left:
            what = f"the tapes of {counted(aside, 'session')} could not be written to the end"
            yield warn(_ABOUT, f"{what}: see the gateway's log, and restart it, which recovers them from {folder}")
        else:
            yield ok(_ABOUT, f"{folder / JOURNAL} is in use by the gateway")
        return
    try:
        waiting = _sessions([*left, folder / JOURNAL])
    except journal.NoJournal as error:
        mend = f"recover with the tacho that wrote it, or move {folder / JOURNAL} elsewhere"
        yield wrong(_ABOUT, f"it cannot be read ({error}), so no gateway starts: {mend}")
        return
    if waiting:
        what = f"what {counted(waiting, 'session')} of a gateway that was killed did last waits in {folder}"
        yield warn(_ABOUT, f"{what}: the next start recovers them, run `{setup.start()}`")
    _, free = room.room(setup.config.data)
    if free < _SIZE:
        what = (
            f"the disk of {setup.config.data} has {free // _MIB} MiB left, and the journal takes {_SIZE / _MIB:.0f} MiB"
        )
        yield wrong(_ABOUT, f"{what}, so no gateway starts: make room")
    elif not waiting:
        yield ok(_ABOUT, f"there is room for the {_SIZE // _MIB} MiB of it, and nothing waits for recovery")


def _sessions(paths: Iterable[Path]) -> int:
    """How many sessions have entries in a journal, or in files of entries that were set aside."""
    found: set[UUID] = set()
    for path in paths:
        size = path.stat().st_size if path.exists() else 0
        if path.name == JOURNAL:
            items = journal.leftover(path) if size <= _SIZE else []
        else:
            items = journal.unpack_left(path) if size <= _LEFT_LIMIT else []
        found.update(UUID(bytes=item.session) for item in items)
    return len(found)
