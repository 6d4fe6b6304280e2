"""`scripts/bench`: runs the benchmarks by name, prints a table, writes JSON."""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import echo, idle, journal, seek, ssh, tape
from bench.plan import Plan, Size
from bench.report import Line, document, machine, table

BENCHMARKS: dict[str, Callable[[Plan], Iterator[Line]]] = {
    "ssh-bulk": ssh.bulk,
    "ssh-echo": echo.echo,
    "ssh-idle": idle.idle,
    "ssh-setup": ssh.setup,
    "journal": journal.journaling,
    "tape-write": tape.tape_write,
    "tape-size": tape.tape_size,
    "tape-seek": seek.seeking,
}


def main() -> None:
    """Runs what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Benchmarks, each beside the direct connection.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all when left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds (default 5)")
    sizes = "tiny only shows that it runs; full moves 2 GiB and reads a tape of 10 GB"
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.USUAL, metavar="SIZE", help=sizes)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; known are {', '.join(BENCHMARKS)}")
    plan = Plan(arguments.rounds, arguments.size)
    lines: list[Line] = []
    for name in arguments.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        lines.extend(BENCHMARKS[name](plan))
    facts = machine()
    print(f"{facts['date']}, {facts['cores']} cores, Python {facts['python']}, {facts['ssh']}")
    print(table(lines))
    if arguments.json:
        arguments.json.write_text(document(lines) + "\n")


if __name__ == "__main__":
    main()
