"""A bad disk on demand: a shim between a program and the kernel that fails, shortens or delays calls on some files."""

import errno
import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")


class Faults:
    """The shim and the file that it reads; `environ` puts a program behind it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._library = folder / "faults.so"
        self._rules = folder / "faults"
        self.mend()
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a program whose disk is to be bad."""
        return {"LD_PRELOAD": str(self._library), "TACHO_FAULTS": str(self._rules)}

    def _set(self, *lines: str) -> None:
        fresh = self._rules.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines))
        fresh.replace(self._rules)

    def fail(self, call: str, part: str, error: int = errno.EIO) -> None:
        """From now on `call` (write, sync, open) on files whose path contains `part` fails with `error`."""
        self._set(f"{call} {part} errno {error}")

    def fail_all(self, calls: tuple[str, ...], part: str, error: int = errno.EIO) -> None:
        """From now on each of `calls` on such files fails."""
        self._set(*(f"{call} {part} errno {error}" for call in calls))

    def shorten(self, part: str, most: int) -> None:
        """From now on at most `most` bytes of each write to such files are taken."""
        self._set(f"write {part} short {most}")

    def delay(self, call: str, part: str, milliseconds: int) -> None:
        """From now on `call` on such files takes so much longer."""
        self._set(f"{call} {part} sleep {milliseconds}")

    def step_clock(self, seconds: int) -> None:
        """From now on the wall clock is wrong by so much."""
        self._set(f"clock - step {seconds}")

    def mend(self) -> None:
        """From now on the disk is a good one."""
        self._set()


def room_on(folder: Path) -> int:
    """Free bytes of the disk under `folder`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
