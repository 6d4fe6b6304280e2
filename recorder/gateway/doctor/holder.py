"""Which process of this machine listens on a TCP port, as far as /proc lets this user see. Reads only."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"
_INODE = re.compile(r"socket:\[(\d+)\]")
_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound


@dataclass(frozen=True, slots=True)
class Holder:
    """`pid` is None where it is another user's process, and this user may not look into it."""

    pid: int | None
    name: str


def holder(addresses: set[str], port: int) -> Holder | None:
    """Who listens on `port` at one of `addresses`, or at any address; None when nobody does."""
    inodes = {inode for address, inode in _listening(port) if address in addresses or address in _ANY}
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and inodes & set(_sockets(process)):
            return Holder(int(process.name), _name(process))
    return Holder(None, "")


def _listening(port: int) -> Iterator[tuple[str, str]]:
    """Address and inode of each socket that listens on `port` (proc(5), /proc/net/tcp)."""
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # a kernel without that protocol
        for line in lines:
            columns = line.split()
            if len(columns) < 10 or columns[3] != _LISTEN:
                continue
            address, _, number = columns[1].partition(":")
            if int(number, 16) == port:
                yield _address(address), columns[9]


def _address(text: str) -> str:
    """An address as /proc/net writes it: words of 32 bits in the machine's own order."""
    words = [int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def _sockets(process: Path) -> Iterator[str]:
    try:
        for descriptor in (process / "fd").iterdir():
            match = _INODE.fullmatch(str(descriptor.readlink()))
            if match:
                yield match[1]
    except OSError:
        return  # it ended, or is another user's


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="backslashreplace").strip()
    except OSError:
        return "ended"
