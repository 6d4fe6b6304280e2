"""SFTP packets taken apart (draft-ietf-secsh-filexfer-02 sections 4 to 8, and OpenSSH's extensions). Knows no order.

No length is trusted: each is compared with what is left of the packet, and what could be read before a lie is kept.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from recorder.protocols.ssh.sftp.framing import Packet
from recorder.protocols.ssh.sftp.operation import OK, Attributes, Status

VERSION = 3
_HANDLE = 256  # bytes of a handle at most (section 6.2)
_MESSAGE = 1024  # bytes of a status's message that are kept
_NAME = 256  # bytes of an unknown extension's name that are kept


class Type(IntEnum):
    """Packet types with a meaning of their own here (section 3)."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    FSTAT = 8
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


# Bytes of a packet that are looked at, where that is less than all: the payload of READ's answer and of WRITE is not.
REQUEST_HEADS: Final = {int(Type.WRITE): 1 + 4 + 4 + _HANDLE + 8 + 4}
ANSWER_HEADS: Final = {int(Type.DATA): 1 + 4 + 4}


NO_REQUESTS: Final[frozenset[int]] = frozenset(
    {Type.VERSION, Type.STATUS, Type.HANDLE, Type.DATA, Type.NAME, Type.ATTRS, Type.EXTENDED_REPLY}
)
_FITTING: dict[int, tuple[int, ...]] = {
    Type.HANDLE: (Type.OPEN, Type.OPENDIR),
    Type.DATA: (Type.READ,),
    Type.NAME: (Type.READDIR, 16, 19, Type.EXTENDED),  # realpath, readlink
    Type.ATTRS: (7, Type.FSTAT, 17),  # lstat, stat
    Type.EXTENDED_REPLY: (Type.EXTENDED,),
}


class Lie(ValueError):
    """A packet that does not hold what it says; a phrase."""


class Request:
    """A request as far as it could be read; `id` is None when not even that could be."""

    __slots__ = ("attributes", "flags", "handle", "id", "kind", "offset", "path", "second", "size", "to", "type")

    def __init__(self, type_: int) -> None:
        self.type = type_
        self.id: int | None = None
        self.kind = f"type-{type_}"
        self.path: bytes | None = None
        self.to: bytes | None = None
        self.handle: bytes | None = None
        self.second: bytes | None = None  # a second handle
        self.flags: tuple[str, ...] = ()
        self.attributes: Attributes | None = None
        self.offset = 0
        self.size: int | None = None  # bytes to be read, written or copied


class Answer:
    """An answer as far as it could be read."""

    __slots__ = ("attributes", "entries", "handle", "id", "name", "size", "status", "type")

    def __init__(self, type_: int) -> None:
        self.type = type_
        self.id: int | None = None
        self.status = OK
        self.handle: bytes | None = None
        self.name: bytes | None = None  # the first of its names
        self.entries = 0
        self.size = 0  # bytes of file contents
        self.attributes: Attributes | None = None


class _Cursor:
    """Takes a packet apart from its front."""

    __slots__ = ("_at", "_head", "_length")

    def __init__(self, packet: Packet) -> None:
        self._head = packet.head
        self._length = packet.length
        self._at = 1

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self._take(size), "big")

    def string(self, limit: int | None = None) -> bytes:
        size = self.number()
        if limit is not None and size > limit:
            raise Lie(f"a handle of {size:,} bytes, {limit} at most")
        return self._take(size)

    def payload(self) -> int:
        """The length of a string that is not kept."""
        size = self.number()
        left = self._length - self._at
        if size > left:
            raise Lie(f"{size:,} bytes of contents in a packet that has {left:,} left")
        return size

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > self._length:
            raise Lie(f"a value of {size:,} bytes in a packet that has {self._length - self._at:,} left")
        if end > len(self._head):
            raise Lie(f"a value of {size:,} bytes, which is more than is read of a packet")
        value = self._head[self._at : end]
        self._at = end
        return value

    @property
    def done(self) -> bool:
        return self._at >= self._length


# Fields of requests, in the order of the draft

_Field = Callable[[_Cursor, Request], None]


def _path(cursor: _Cursor, request: Request) -> None:
    request.path = cursor.string()


def _to(cursor: _Cursor, request: Request) -> None:
    request.to = cursor.string()


def _handle(cursor: _Cursor, request: Request) -> None:
    request.handle = cursor.string(_HANDLE)


def _second(cursor: _Cursor, request: Request) -> None:
    request.second = cursor.string(_HANDLE)


def _offset(cursor: _Cursor, request: Request) -> None:
    request.offset = cursor.number(8)


def _size(cursor: _Cursor, request: Request) -> None:
    request.size = cursor.number()


def _long_size(cursor: _Cursor, request: Request) -> None:
    request.size = cursor.number(8) or None  # 0: until the end


def _payload(cursor: _Cursor, request: Request) -> None:
    request.size = cursor.payload()


def _replacing(_cursor: _Cursor, request: Request) -> None:
    request.flags = ("replace",)


def _flags(cursor: _Cursor, request: Request) -> None:
    found = cursor.number()
    request.flags = tuple(name for bit, name in enumerate(_FLAGS) if found >> bit & 1)


def _attributes(cursor: _Cursor, request: Request) -> None:
    found = _attributes_of(cursor)
    request.attributes = found if found != Attributes() else None


_FLAGS = ("read", "write", "append", "create", "truncate", "exclusive")
_OF_VERSION_3 = (_flags, _attributes)

_REQUESTS: dict[int, tuple[str, tuple[_Field, ...]]] = {
    Type.OPEN: ("open", (_path, _flags, _attributes)),
    Type.CLOSE: ("close", (_handle,)),
    Type.READ: ("read", (_handle, _offset, _size)),
    Type.WRITE: ("write", (_handle, _offset, _payload)),
    7: ("lstat", (_path,)),
    Type.FSTAT: ("fstat", (_handle,)),
    9: ("setstat", (_path, _attributes)),
    Type.FSETSTAT: ("fsetstat", (_handle, _attributes)),
    Type.OPENDIR: ("opendir", (_path,)),
    Type.READDIR: ("readdir", (_handle,)),
    13: ("remove", (_path,)),
    14: ("mkdir", (_path, _attributes)),
    15: ("rmdir", (_path,)),
    16: ("realpath", (_path,)),
    17: ("stat", (_path,)),
    18: ("rename", (_path, _to)),
    19: ("readlink", (_path,)),
    # The draft has the link first; OpenSSH, and all who must work with it, send what it points to first, as `ln -s`.
    20: ("symlink", (_path, _to)),
}

_EXTENSIONS: dict[bytes, tuple[str, tuple[_Field, ...]]] = {
    b"posix-rename@openssh.com": ("rename", (_path, _to, _replacing)),
    b"hardlink@openssh.com": ("link", (_path, _to)),
    b"statvfs@openssh.com": ("statvfs", (_path,)),
    b"fstatvfs@openssh.com": ("fstatvfs", (_handle,)),
    b"fsync@openssh.com": ("fsync", (_handle,)),
    b"lsetstat@openssh.com": ("lsetstat", (_path, _attributes)),
    b"limits@openssh.com": ("limits", ()),
    b"expand-path@openssh.com": ("expand-path", (_path,)),
    b"copy-data": ("copy-data", (_handle, _offset, _long_size, _second)),
    b"home-directory": ("home-directory", (_path,)),
    b"users-groups-by-id@openssh.com": ("users-groups-by-id", ()),
}


def request_of(packet: Packet, version: int) -> tuple[Request, str | None]:
    """A packet from the agent, and what is wrong with it."""
    request = Request(packet.head[0])
    cursor = _Cursor(packet)
    try:
        request.id = cursor.number()
        if request.type == Type.EXTENDED:
            name = cursor.string()
            request.kind = name[:_NAME].decode("utf-8", "surrogateescape")
            request.kind, fields = _EXTENSIONS.get(name, (request.kind, ()))
        else:
            request.kind, fields = _REQUESTS.get(request.type, (request.kind, ()))
        for field in fields:
            if version == VERSION or field not in _OF_VERSION_3:
                field(cursor, request)
    except Lie as lie:
        return request, str(lie)
    return request, None


def answer_of(packet: Packet, version: int) -> tuple[Answer, str | None]:
    """A packet from the target, and what is wrong with it."""
    answer = Answer(packet.head[0])
    cursor = _Cursor(packet)
    try:
        answer.id = cursor.number()
        match answer.type:
            case Type.STATUS:
                answer.status = Status(cursor.number())
                if not cursor.done:  # some servers leave the message out
                    answer.status = Status(answer.status.code, cursor.string()[:_MESSAGE])
            case Type.HANDLE:
                answer.handle = cursor.string(_HANDLE)
            case Type.DATA:
                answer.size = cursor.payload()
            case Type.NAME:
                answer.entries = cursor.number()
                answer.name = cursor.string() if answer.entries else None
            case Type.ATTRS if version == VERSION:
                answer.attributes = _attributes_of(cursor)
            case Type.EXTENDED_REPLY | Type.ATTRS:
                pass
            case _:
                return answer, f"a packet of type {answer.type}, which is no answer"
    except Lie as lie:
        return answer, str(lie)
    return answer, None


def fits(answer: Answer, request: Request) -> bool:
    """Whether a request of that sort is answered so; a STATUS answers any (section 7)."""
    return answer.type == Type.STATUS or request.type in _FITTING.get(answer.type, ())


def version_of(packet: Packet) -> int | None:
    """The version that an INIT or VERSION packet names; None when it is too short."""
    try:
        return _Cursor(packet).number()
    except Lie:
        return None


def _attributes_of(cursor: _Cursor) -> Attributes:
    """Section 5; vendors' extended attributes, which come last, are not looked at."""
    present = cursor.number()
    size = cursor.number(8) if present & 0x1 else None
    uid, gid = (cursor.number(), cursor.number()) if present & 0x2 else (None, None)
    mode = cursor.number() if present & 0x4 else None
    accessed, modified = (cursor.number(), cursor.number()) if present & 0x8 else (None, None)
    return Attributes(size, uid, gid, mode, accessed, modified)
