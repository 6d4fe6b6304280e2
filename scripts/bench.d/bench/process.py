"""What the kernel says of a process: CPU time, memory, bytes read. Starts none."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
TICK_S = 1 / _TICKS  # the grain of `cpu`


def cpu(pid: int) -> float:
    """CPU seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def peak(pid: int) -> float:
    """The most memory that was resident at once, MiB; since its start or the last `forget_peak`."""
    return _field(Path(f"/proc/{pid}/status"), "VmHWM")


def forget_peak(pid: int) -> None:
    """Lets `peak` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory(pid: int) -> float:
    """Resident memory, MiB: what it shares with others counts by its share (PSS)."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def moved(pid: int, field: str = "wchar") -> int:
    """Bytes that it has written so far by any call; read with `rchar` (proc(5), /proc/pid/io)."""
    return int(_line(Path(f"/proc/{pid}/io"), field))


def _field(path: Path, name: str) -> float:
    return int(_line(path, name)) / 1024


def _line(path: Path, name: str) -> str:
    lines = path.read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
