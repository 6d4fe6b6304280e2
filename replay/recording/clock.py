"""Moments and lengths of time in words; parses nothing and asks no clock."""

from datetime import UTC, datetime


def clock(us: int) -> str:
    """µs since the session's start as `03:12`, from an hour on `1:03:12`."""
    minutes, seconds = divmod(us // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def stamp(ns: int, timespec: str = "milliseconds") -> str:
    """UNIX ns as an RFC 3339 time in UTC; what no calendar knows as a number of seconds."""
    try:
        moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns // 1000 % 1_000_000)
    except (OverflowError, ValueError, OSError):
        return f"{ns // 1_000_000_000} s after 1970"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
