"""What arrives on a channel, in the order in which it arrived (RFC 4254 section 5). Values only."""

from typing import NamedTuple


class Opening(NamedTuple):
    """A channel that an agent asks to open (section 5.1); `arguments` are the fields of its type, as they came."""

    kind: str
    remote: int
    window: int
    packet_size: int
    arguments: bytes = b""


class Data(NamedTuple):
    """Bytes; `stderr` when they came as extended data."""

    data: bytes
    stderr: bool


class Request(NamedTuple):
    """A channel request (RFC 4254 section 5.4); `payload` is what follows the want-reply flag."""

    name: str
    want_reply: bool
    payload: bytes


class Reply(NamedTuple):
    """The answer to a request that wanted one."""

    ok: bool


class Eof(NamedTuple):
    """No more data will come from this side."""


class Close(NamedTuple):
    """The channel is over."""


Item = Data | Request | Reply | Eof | Close
