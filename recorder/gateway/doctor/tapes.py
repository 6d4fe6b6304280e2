"""The store of tapes: do the newest sessions have theirs, and which have no end? Opens tapes, changes none."""

import itertools
import time
from collections.abc import Iterator

from recorder.catalogue.sqlite import CatalogueError
from recorder.config import Config
from recorder.format import store
from recorder.format.reader import SegmentReader, UnreadableTape
from recorder.gateway.doctor import catalogue, clock
from recorder.gateway.doctor.finding import Finding, counted, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.model import State

_ABOUT = "tapes"
_NEWEST = 50
_LIMIT_S = 3.0
_SHORT = 8  # characters at the end of an ID, as lists show it


def check(setup: Setup) -> Iterator[Finding]:
    """The newest sessions' tapes, and those of the last two days that are unclosed."""
    config = setup.config
    found = [*_gone(setup), *_unclosed(setup)]
    yield from found
    if found:
        return
    if clock.latest(config.tapes) is not None:
        yield ok(_ABOUT, f"the newest sessions' lie in {config.tapes}, and none is without its end")
    else:
        yield ok(_ABOUT, f"there are none yet in {config.tapes}")


def _gone(setup: Setup) -> Iterator[Finding]:
    listed = catalogue.opened(setup)
    if listed is None:
        return
    try:
        newest = [row for row in itertools.islice(listed.sessions(), _NEWEST) if row.state not in _WITHOUT]
    except CatalogueError as error:
        yield wrong(_ABOUT, str(error))
        return
    finally:
        listed.close()
    gone = [row.id for row in newest if not store.segments(store.folder_of(setup.config.tapes, row.id))]
    if gone:
        part = f"{len(gone)} of the {len(newest)} newest sessions, {gone[0][-_SHORT:]} for one,"
        what = f"{part} have no tape in {setup.config.tapes}"
        yield wrong(_ABOUT, f"{what}: restore that folder from a backup, or mount its disk")


_WITHOUT = (State.LIVE, State.DELETED)  # the tape of a session that has just begun may not be there yet


def _unclosed(setup: Setup) -> Iterator[Finding]:
    try:
        number = _count_unclosed(setup.config)
    except OSError as error:
        yield warn(_ABOUT, f"{error.filename or setup.config.tapes} cannot be read ({error.strerror}): mend its rights")
        return
    if not number:
        return
    what = f"{counted(number, 'session')} of the last two days {'has' if number == 1 else 'have'} no end"
    if setup.running.at_work:
        yield warn(_ABOUT, f"{what} and nobody writes them: restart the gateway, which recovers them")
    else:
        yield warn(_ABOUT, f"{what}: the next start recovers them, run `{setup.start()}`")


def _count_unclosed(config: Config) -> int:
    """Of the last two days, newest first, as far as the time goes. OSError."""
    limit = time.monotonic() + _LIMIT_S
    number = 0
    for session in sorted(store.latest_sessions(config.tapes, time.time_ns()), reverse=True):
        if time.monotonic() > limit:
            break
        paths = store.segments(store.folder_of(config.tapes, session))
        if not paths:
            continue
        try:
            last = SegmentReader(paths[-1])
        except UnreadableTape:
            number += 1  # not even its HEADER was written
            continue
        number += not last.closed and not last.live
        last.close()
    return number
