"""Lengths, moments and outcomes in a few characters, for the player's widgets. Asks no clock."""

from recorder.safe import printable
from replay.transcript import Command

_SECOND = 1_000_000


def clock(us: int, digits: int = 0) -> str:
    """µs as `03:12`, from an hour on `1:03:12`; with `digits` (6 at most) of a second after a point."""
    seconds, rest = divmod(us, _SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
    return f"{text}.{rest:06}"[: digits - 6 or None] if digits else text


def length(us: int) -> str:
    """µs as `0.4 s`, `12 s`, `3 min`, `2 h 5 min`: two figures that matter."""
    seconds = us / _SECOND
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if left and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: int) -> str:
    """Bytes as `312 B`, `4.2 kB`, `1.3 MB`."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def speed(factor: float) -> str:
    """A factor as `×1`, `×0.25`."""
    return f"×{factor:g}"


def outcome(command: Command, t: int) -> str:
    """The sign of how a command had gone by `t` (µs): ◆ denied, ✗ failed, ✓ well, ▸ running, · not known."""
    if command.denied:
        return "◆"
    if command.end is None or command.end > t:
        return "▸" if command.start <= t else "·"
    if command.signal or command.status:
        return "✗"
    return "✓" if command.status == 0 else "·"


def ending(command: Command) -> str:
    """What is worth a word of how a command ended: its status when not 0, its signal, that it was denied."""
    if command.denied:
        return "denied"
    if command.signal:
        return printable(command.signal, limit=12)
    return f"exit {command.status}" if command.status else ""


def label(command: Command) -> str:
    """What a command is called, safe to print."""
    text = printable(command.text, limit=500)
    if command.kind == "shell" and not text:
        return "interactive shell"
    return f"{command.kind} {text}" if command.kind == "subsystem" else text
