"""The clock: is it later than what is known to have happened, and does anything keep it right? Never sets it."""

import ctypes
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import recorder
from recorder.format import store
from recorder.gateway.doctor.finding import Finding, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup

_ABOUT = "clock"
_TOLERANCE_NS = 2_000_000_000
_UNSYNC = 0x0040  # STA_UNSYNC (adjtimex(2))
_MEND = "set it (`timedatectl set-ntp true`, or `chronyc makestep`)"


class _Timex(ctypes.Structure):
    """struct timex (adjtimex(2)) as far as `status`, and more room than the rest takes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def check(setup: Setup) -> Iterator[Finding]:
    """Against the newest session, this program's own files, and the kernel's word."""
    now = time.time_ns()
    said = f"it is {_text(now)}"
    newest = latest(setup.config.tapes)
    if newest is not None and now < newest - _TOLERANCE_NS:
        yield wrong(_ABOUT, f"{said} by this clock, and the newest session began at {_text(newest)}: {_MEND}")
        return
    installed = Path(recorder.__file__).stat().st_mtime_ns
    if now < installed - _TOLERANCE_NS:
        yield wrong(_ABOUT, f"{said} by this clock, and tacho was installed at {_text(installed)}: {_MEND}")
        return
    if _kept() is False:
        mend = "start chronyd or systemd-timesyncd (`timedatectl set-ntp true`)"
        yield warn(_ABOUT, f"{said}, and by the kernel's word nothing keeps this clock right: {mend}")
        return
    yield ok(_ABOUT, f"{said}, later than every session and than this installation")


def latest(tapes: Path) -> int | None:
    """When the newest session began (UNIX ns), by the names of folders alone."""
    folder = tapes
    for _ in ("year", "month", "day"):
        names = [path.name for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
        if not names:
            return None
        folder /= max(names)
    times = [_started(path.name) for path in folder.iterdir()]
    return max(times, default=0) or None


def _started(name: str) -> int:
    try:
        return store.started(name)
    except ValueError:
        return 0  # no session's folder


def _kept() -> bool | None:
    """Whether the kernel has the clock for synchronised; None when it does not say."""
    state = _Timex()
    try:
        if ctypes.CDLL(None).adjtimex(ctypes.byref(state)) < 0:
            return None
    except (OSError, AttributeError):
        return None  # a C library without it
    return not state.status & _UNSYNC


def _text(moment: int) -> str:
    """A time (UNIX ns) as a person reads it; the year alone where the calendar has no such day."""
    try:
        return f"{datetime.fromtimestamp(moment // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "a time beyond the calendar"
