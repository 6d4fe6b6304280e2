"""A file or a directory from its opening to its closing: its reads, its writes, its listing as one operation each."""

from bisect import bisect_left
from collections.abc import Iterator
from operator import itemgetter

from recorder.protocols.ssh.sftp.operation import FileOperation, Status
from recorder.protocols.ssh.sftp.packets import Answer, Request, Type

_RUNS = 64  # separate runs of bytes that are told apart; a file that has more was not moved in one piece
_EOF = 1


class Span:
    """The reads, or the writes, of an open file: how many bytes, and whether they are one run from its beginning."""

    __slots__ = ("_runs", "_scattered", "count", "end", "failed", "size", "unanswered")

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self.end = 0  # behind the last byte of all
        self.failed: Status | None = None
        self.unanswered = 0
        self._runs: list[tuple[int, int]] = []  # apart from one another and in order
        self._scattered = False

    def moved(self, offset: int, size: int) -> None:
        """`size` bytes were read or written at `offset`."""
        self.size += size
        end = offset + size
        self.end = max(self.end, end)
        runs = self._runs
        if runs and runs[-1][1] == offset:
            runs[-1] = runs[-1][0], end
            return
        if not size or self._scattered:
            return
        first = bisect_left(runs, offset, key=itemgetter(1))
        last = first
        while last < len(runs) and runs[last][0] <= end:
            offset, end = min(offset, runs[last][0]), max(end, runs[last][1])
            last += 1
        runs[first:last] = [(offset, end)]
        if len(runs) > _RUNS:
            self._scattered = True
            runs.clear()

    def fail(self, status: Status) -> None:
        """A request was not answered with a success."""
        self.failed = self.failed or status

    @property
    def reach(self) -> int | None:
        """The length of the one run of bytes from the file's beginning; None when it is not one, or not certain."""
        if self._scattered or self.failed is not None or self.unanswered or len(self._runs) > 1:
            return None
        if not self._runs:
            return 0
        start, end = self._runs[0]
        return end if start == 0 else None


class Opened:
    """What a handle stands for. `path` is None when it was opened in a part that is missing."""

    def __init__(self, start: int, handle: bytes, request: Request | None, stream: int) -> None:
        self.handle = handle
        self.start = start
        self.path = request.path if request is not None else None
        self.waiting = 0  # requests on it that are not answered
        self.closed: tuple[int | None, Status | None] | None = None
        self.partial = request is None
        self._request = request
        self._stream = stream
        self._reads = Span()
        self._writes = Span()
        self._end_of_file: int | None = None  # the least offset at which there was nothing to read
        self._size: int | None = None  # what fstat said
        self._resized: int | None = None
        self._cut = False  # whether some of what was written was taken away again
        self._copied = False
        self._listings = 0
        self._entries = 0
        self._listing_failed: Status | None = None

    @property
    def cost(self) -> int:
        """Bytes that it holds."""
        return len(self.handle) + len(self.path or b"")

    def asked(self, request: Request) -> None:
        """A request on it went to the server."""
        self.waiting += 1
        if request.type == Type.READDIR:
            self._listings += 1
        elif (span := self._span(request)) is not None:
            span.count += 1
            span.unanswered += 1

    def answered(self, request: Request, answer: Answer) -> None:
        """The request was answered."""
        self.waiting -= 1
        status = answer.status
        span = self._span(request)
        if span is not None:
            span.unanswered -= 1
        if request.type == Type.READ:
            self._read(request, answer)
        elif request.type == Type.WRITE and status.ok:
            self._writes.moved(request.offset, request.size or 0)
        elif request.type == Type.WRITE:
            self._writes.fail(status)
        elif request.type == Type.READDIR:
            self._entries += answer.entries
            if not status.ok and status.code != _EOF:
                self._listing_failed = self._listing_failed or status
        elif request.type == Type.FSTAT and answer.attributes is not None:
            self._size = answer.attributes.size
        elif request.type == Type.FSETSTAT and status.ok and request.attributes is not None:
            self._resize(request.attributes.size)

    def _resize(self, size: int | None) -> None:
        if size is not None:
            self._cut = self._cut or size < self._writes.end
            self._resized = size

    def copied_into(self) -> None:
        """The server itself copied something into it, which is an operation of its own."""
        self._copied = True

    def _span(self, request: Request) -> Span | None:
        if request.type == Type.READ:
            return self._reads
        return self._writes if request.type == Type.WRITE else None

    def _read(self, request: Request, answer: Answer) -> None:
        if answer.type == Type.DATA:
            self._reads.moved(request.offset, answer.size)
        elif answer.status.code == _EOF:
            known = self._end_of_file
            self._end_of_file = request.offset if known is None else min(known, request.offset)
        else:
            self._reads.fail(answer.status)

    # Told

    def operations(self) -> Iterator[FileOperation]:
        """What was done with it, as far as is known now."""
        end, closing = self.closed or (None, None)
        if self._is_directory and not self._listings:
            yield self._operation("opendir", end, closing)
        if self._listings:
            status = self._listing_failed or closing
            yield self._operation("readdir", end, status, entries=self._entries)
        if self._reads.count:
            yield self._operation("read", end, self._reads.failed or closing, self._reads, whole=self._read_whole)
        if self._writes.count or (self._made and not self._reads.count and not self._copied):
            status = self._writes.failed or closing
            yield self._operation("write", end, status, self._writes, whole=self._all_written)
        elif not self._reads.count and not self._listings and not self._is_directory:
            yield self._operation("open", end, closing)

    @property
    def _made(self) -> bool:
        """Whether it was opened for writing, and empty."""
        flags = self._request.flags if self._request is not None else ()
        return "write" in flags and ("truncate" in flags or "exclusive" in flags)

    @property
    def _is_directory(self) -> bool:
        return self._request is not None and self._request.type == Type.OPENDIR

    @property
    def _read_whole(self) -> bool:
        reach = self._reads.reach
        if reach is None or self.partial:
            return False
        return self._size == reach or (self._end_of_file is not None and self._end_of_file <= reach)

    @property
    def _all_written(self) -> bool:
        reach = self._writes.reach
        if reach is None or self.partial or self._cut or self._copied or self.closed is None:
            return False
        return self._resized == reach or (self._resized is None and self._made)

    def _operation(
        self,
        kind: str,
        end: int | None,
        status: Status | None,
        span: Span | None = None,
        *,
        whole: bool | None = None,
        entries: int | None = None,
    ) -> FileOperation:
        request = self._request
        return FileOperation(
            kind=kind,
            path=self.path,
            start=self.start,
            end=end,
            status=status,
            size=span.size if span is not None else None,
            entries=entries,
            complete=whole,
            flags=request.flags if request is not None else (),
            attributes=request.attributes if request is not None else None,
            known="partial" if self.partial else "exact",
            stream=self._stream,
        )
