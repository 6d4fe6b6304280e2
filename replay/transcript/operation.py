"""File operations and faults in words. Each text is printable and one line."""

from recorder.protocol import Direction
from recorder.protocols.ssh.sftp import Attributes, Fault, FileOperation
from recorder.safe import printable, quoted

_PATH_LIMIT = 4096
_OUTCOMES = {
    "no-such-file": "not found",
    "permission-denied": "denied",
    "failure": "failed",
    "op-unsupported": "unsupported",
}


def what(operation: FileOperation) -> str:
    """The operation, its paths, and what else it says: `write /tmp/x (part)`."""
    parts = [printable(operation.kind, limit=64)]
    if operation.path is not None or operation.kind in _ON_HANDLES:
        parts.append(path_of(operation.path))
    if operation.to is not None and operation.protocol == "sftp":
        parts += ["→", path_of(operation.to)]
    more = list(_more(operation))
    return " ".join([*parts, f"({', '.join(more)})"] if more else parts)


_ON_HANDLES = frozenset(
    {"open", "read", "write", "readdir", "close", "fstat", "fsetstat", "fstatvfs", "fsync", "copy-data"}
)


def path_of(path: bytes | None) -> str:
    """A path, in quotes where it could be taken for more than one word."""
    if path is None:
        return "(opened in a part that is missing)"
    shown = printable(path, limit=_PATH_LIMIT)
    plain = shown and not set(' "()→') & set(shown)
    return shown if plain else quoted(path, _PATH_LIMIT)


def _more(operation: FileOperation) -> list[str]:
    more = ["scp"] if operation.protocol == "scp" else []
    if operation.to is not None and operation.protocol == "scp":
        more.append(f"of {quoted(operation.to, _PATH_LIMIT)}")
    if operation.entries is not None:
        more.append(f"{operation.entries:,} names")
    if operation.complete is False:
        more.append("part")
    if operation.kind == "rename" and "replace" in operation.flags:
        more.append("replacing")
    if operation.kind == "open" and operation.flags:
        more.append(" ".join(operation.flags))
    if operation.attributes is not None and operation.kind not in ("open", "read", "write"):
        more += _attributes(operation.attributes)
    return more


def _attributes(attributes: Attributes) -> list[str]:
    said = [f"size {attributes.size:,}"] if attributes.size is not None else []
    said += [f"owner {attributes.uid}:{attributes.gid}"] if attributes.uid is not None else []
    said += [f"mode {attributes.mode & 0o7777:04o}"] if attributes.mode is not None else []
    return said + (["times"] if attributes.modified is not None else [])


def outcome(operation: FileOperation) -> str:
    """How it ended, in a word or two; `-` when that is not known."""
    if operation.status is None:
        return "-"
    return _OUTCOMES.get(operation.status.name, operation.status.name)


def of_fault(fault: Fault) -> str:
    """What could not be read, and where."""
    side = (
        {Direction.IN: "from the agent, ", Direction.OUT: "to the agent, "}.get(Direction(fault.side))
        if fault.side
        else ""
    )
    where = f"{side}byte {fault.offset:,}: " if side else ""
    until = " until the next chunk" if fault.protocol == "sftp" else ""
    lost = f"; what follows is not read{until}" if fault.lost else ""
    return f"{fault.protocol}, {where}{fault.why}{lost}"
