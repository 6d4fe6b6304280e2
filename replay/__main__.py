"""The entry point of the `tacho` command, also `python -m replay`. It only decides how the process ends."""

import io
import os
import sys
from types import TracebackType

from recorder.safe import printable
from replay.cli import tacho


def main() -> None:
    """Runs `tacho` on the process's arguments; a reader that went away ends it in silence."""
    sys.excepthook = _defect
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that are not UTF-8
    try:
        try:
            tacho(prog_name="tacho")
        finally:
            if sys.stdout is not None:  # `>&-` leaves none
                sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered has no reader; at exit Python would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _defect(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """One sentence for what no verb expected."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    what = printable(f"{kind.__name__}: {error}", limit=300)
    print(f"tacho: a defect of tacho: {what}; run it again with --debug and report it", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
