"""Both sides of an SFTP connection, read into file operations: requests are paired with their answers by id.

It holds no socket and no clock, and what it says does not depend on how the bytes were cut.
"""

from collections import OrderedDict

from recorder.protocol import Direction
from recorder.protocols.ssh.sftp.framing import Broken, Flow, Packet
from recorder.protocols.ssh.sftp.opened import Opened
from recorder.protocols.ssh.sftp.operation import Fault, FileOperation
from recorder.protocols.ssh.sftp.packets import (
    ANSWER_HEADS,
    NO_REQUESTS,
    REQUEST_HEADS,
    VERSION,
    Answer,
    Type,
    answer_of,
    fits,
    request_of,
    version_of,
)
from recorder.protocols.ssh.sftp.waiting import Queue, Waiting

MAXIMUM_REQUESTS = 65_536
"""Requests that may wait for an answer; the oldest is given up for one more."""
MAXIMUM_HANDLES = 16_384
"""Files that may be open; the oldest is given up for one more."""
MAXIMUM_TEXT = 16 << 20
"""Bytes of the paths and handles of all these."""
MAXIMUM_FAULTS = 100
"""Faults of a channel that are told one by one."""

Event = FileOperation | Fault

_ON_FILES = frozenset({Type.READ, Type.WRITE, Type.READDIR})


class Sftp:
    """One channel's parser. `receive` gives what became known: operations that ended, faults. Times are the caller's.

    Bytes of the agent are `Direction.IN`, of the target `Direction.OUT`; what crossed first is to be given first.
    """

    def __init__(self, stream: int = 0) -> None:
        self._stream = stream
        self._flows = {Direction.IN: Flow(REQUEST_HEADS), Direction.OUT: Flow(ANSWER_HEADS)}
        self._version = VERSION
        self._gap = False  # whether something was not seen
        self._waiting = Queue()
        self._files: OrderedDict[bytes, Opened] = OrderedDict()
        self._closing: dict[Opened, None] = {}
        self._held = 0  # bytes of the files' paths and handles
        self._faults = 0
        self._overflowed = False
        self._events: list[Event] = []

    # Given

    def receive(self, side: Direction, data: bytes, t: int = 0) -> list[Event]:
        """Takes the next bytes of one side, which crossed at `t`."""
        for packet in self._flows[side].feed(data):
            if isinstance(packet, Broken):
                self._fault(t, side, packet.offset, packet.why, lost=packet.lost)
                if packet.lost:
                    self._missed()
            elif side is Direction.IN:
                self._asked(packet, t)
            else:
                self._answered(packet, t)
        return self._told()

    def remaining(self, side: Direction) -> int:
        """Bytes still to come of the packet that `side` has begun."""
        return self._flows[side].remaining

    def gap(self, side: Direction, remaining: int | None) -> None:
        """Bytes of `side` are missing here: `remaining` of those to come end a packet begun in them.

        None when nobody knows: the side is `lost`, and what comes is not read until this is called again.
        """
        self._missed()
        self._flows[side].gap(remaining)

    def lost(self, side: Direction) -> bool:
        """Whether the boundaries of `side` are lost."""
        return self._flows[side].lost

    @property
    def earliest(self) -> int | None:
        """When the oldest operation began that is not over; None when there is none."""
        starts = [file.start for file in self._closing]
        starts += [next(iter(self._files.values())).start] if self._files else []
        starts += [self._waiting.earliest] if self._waiting.earliest is not None else []
        return min(starts, default=None)

    def end(self, t: int = 0) -> list[Event]:
        """The channel is over: all that is still open or unanswered."""
        for side, flow in self._flows.items():
            if flow.torn:
                self._fault(t, side, flow.offset, f"the bytes end {flow.remaining:,} short of a packet's end")
        while (waiting := self._waiting.take_oldest()) is not None:
            self._unanswered(waiting)
        for file in [*self._closing, *self._files.values()]:
            self._let_go(file)
        self._files.clear()
        if self._faults > MAXIMUM_FAULTS:
            more = self._faults - MAXIMUM_FAULTS
            self._events.append(Fault(t, 0, 0, f"{more:,} more faults on this channel", stream=self._stream))
            self._faults = 0
        return self._told()

    def _told(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _fault(self, t: int, side: Direction, offset: int, why: str, *, lost: bool = False) -> None:
        self._faults += 1
        if self._faults <= MAXIMUM_FAULTS:
            self._events.append(Fault(t, side, offset, why, lost, stream=self._stream))

    def _missed(self) -> None:
        self._gap = True
        for file in [*self._files.values(), *self._closing]:
            file.partial = True

    # Requests

    def _asked(self, packet: Packet, t: int) -> None:
        type_ = packet.head[0]
        if type_ == Type.INIT:
            return
        if type_ in NO_REQUESTS:
            self._fault(t, Direction.IN, packet.offset, f"a packet of type {type_}, which is no request")
            return
        request, wrong = request_of(packet, self._version)
        if wrong is not None:
            self._fault(t, Direction.IN, packet.offset, f"a request of type {type_}: {wrong}")
        if request.id is None:
            return
        file = None
        if request.handle is not None:
            file = self._files.get(request.handle)
            if file is None and self._gap and type_ in _ON_FILES:
                file = Opened(t, request.handle, None, self._stream)
                self._open(file)
        second = self._files.get(request.second) if request.second is not None else None
        self._waiting.add(request.id, Waiting(request, t, file, second))
        if file is not None:
            file.asked(request)
            if type_ == Type.CLOSE:
                del self._files[file.handle]
                self._closing[file] = None
        self._keep_bounds(t)

    def _open(self, file: Opened) -> None:
        before = self._files.pop(file.handle, None)
        if before is not None:
            self._let_go(before)
        self._files[file.handle] = file
        self._held += file.cost

    # Answers

    def _answered(self, packet: Packet, t: int) -> None:
        if packet.head[0] == Type.VERSION:
            self._agreed(packet, t)
            return
        answer, wrong = answer_of(packet, self._version)
        if wrong is not None:
            self._fault(t, Direction.OUT, packet.offset, wrong)
        waiting = self._waiting.take(answer.id) if answer.id is not None else None
        if waiting is None:
            if answer.id is not None and not self._gap:
                self._fault(t, Direction.OUT, packet.offset, "an answer to no request")
            return
        request, file = waiting.request, waiting.file
        if not fits(answer, request):
            why = f"an answer of type {answer.type} to a request of type {request.type}"
            self._fault(t, Direction.OUT, packet.offset, why)
            self._unanswered(waiting)
            return
        if file is not None:
            file.answered(request, answer)
        if request.type in (Type.OPEN, Type.OPENDIR) and answer.handle is not None:
            self._open(Opened(waiting.start, answer.handle, request, self._stream))
            self._keep_bounds(t)
        elif request.type == Type.CLOSE and file is not None:
            file.closed = t, answer.status
        elif request.type not in _ON_FILES or file is None:
            self._events.append(self._operation(waiting, answer, t))
        if file is not None:
            self._finish(file)

    def _agreed(self, packet: Packet, t: int) -> None:
        version = version_of(packet)
        if version is not None and version != VERSION:
            why = f"version {version} of the protocol, of which flags and attributes are not read"
            self._fault(t, Direction.OUT, packet.offset, why)
            self._version = version

    def _operation(self, waiting: Waiting, answer: Answer | None, t: int | None) -> FileOperation:
        request, file, second = waiting.request, waiting.file, waiting.second
        to, size = request.to, None
        if answer is not None and answer.name is not None:
            to = answer.name
        if request.second is not None:
            to, size = second.path if second is not None else None, request.size
            if second is not None:
                second.copied_into()
        unknown = answer is None or (request.handle is not None and file is None)
        return FileOperation(
            kind=request.kind,
            path=file.path if file is not None else request.path,
            start=waiting.start,
            end=t,
            status=answer.status if answer is not None else None,
            to=to,
            size=size,
            flags=request.flags,
            attributes=request.attributes,
            known="partial" if self._gap and unknown else "exact",
            stream=self._stream,
        )

    # Ends

    def _finish(self, file: Opened) -> None:
        """Tells of a file that is closed and has no answer to come."""
        if file.closed is not None and not file.waiting and file in self._closing:
            self._let_go(file)

    def _let_go(self, file: Opened) -> None:
        self._closing.pop(file, None)
        self._held -= file.cost
        self._events += file.operations()

    def _unanswered(self, waiting: Waiting) -> None:
        """Tells of a request whose answer will not be known."""
        request, file = waiting.request, waiting.file
        if file is not None:
            file.waiting -= 1
        if request.type == Type.CLOSE and file is not None:
            file.closed = None, None
        elif request.type not in _ON_FILES or file is None:
            self._events.append(self._operation(waiting, None, None))
        if file is not None:
            self._finish(file)

    def _keep_bounds(self, t: int) -> None:
        while len(self._waiting) > MAXIMUM_REQUESTS or self._waiting.cost > MAXIMUM_TEXT:
            self._overflow(t)
            waiting = self._waiting.take_oldest()
            if waiting is not None:
                self._unanswered(waiting)
        while self._files and (len(self._files) > MAXIMUM_HANDLES or self._held > MAXIMUM_TEXT):
            self._overflow(t)
            _, oldest = self._files.popitem(last=False)
            oldest.partial = True
            self._let_go(oldest)

    def _overflow(self, t: int) -> None:
        """More is open, or unanswered, than is followed; said once."""
        self._gap = True
        if not self._overflowed:
            self._overflowed = True
            offset = self._flows[Direction.IN].offset
            self._fault(t, Direction.IN, offset, "more is open and unanswered than is followed: the oldest is given up")
