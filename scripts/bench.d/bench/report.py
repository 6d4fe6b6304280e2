"""What a benchmark reports, as a table and as JSON."""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: `ours` beside `direct` (both in `unit`), what is to be reached, and the gateway's CPU time."""

    name: str
    case: str
    ours: float
    unit: str
    direct: float | None = None
    ratio: float | None = None
    reach: str = ""
    spread: str = ""
    cpu: str = ""
    extra: dict[str, float] = field(default_factory=dict)


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: int) -> float:
    """The value that `share` per cent of them do not exceed."""
    return sorted(values)[min(len(values) * share // 100, len(values) - 1)]


def spread(values: Sequence[float]) -> str:
    """Least and greatest, as `0.51–0.58`."""
    return f"{min(values):.2f}–{max(values):.2f}"


def machine() -> dict[str, str]:
    """What ran: date, cores, versions."""
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.strip()
    cores = len(Path("/proc/cpuinfo").read_text().split("processor\t")) - 1
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": str(cores),
        "python": platform.python_version(),
        "ssh": ssh.split(",")[0],
    }


def table(lines: Sequence[Line]) -> str:
    """The figures as an aligned table."""
    head = ("benchmark", "case", "direct", "ours", "unit", "ratio", "spread", "reach", "gateway CPU")
    rows = [head, *(_row(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(line: Line) -> tuple[str, ...]:
    direct = "" if line.direct is None else f"{line.direct:.2f}"
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    return (line.name, line.case, direct, f"{line.ours:.3g}", line.unit, ratio, line.spread, line.reach, line.cpu)


def document(lines: Sequence[Line]) -> str:
    """The figures as one JSON document."""
    return json.dumps({"machine": machine(), "figures": [asdict(line) for line in lines]}, indent=2)
