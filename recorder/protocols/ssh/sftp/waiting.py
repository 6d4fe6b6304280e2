"""Requests that wait for their answers, by id and in the order in which they were made."""

from collections import OrderedDict, deque

from recorder.protocols.ssh.sftp.opened import Opened
from recorder.protocols.ssh.sftp.packets import Request


class Waiting:
    """A request that is not answered yet: `file` is what its handle stands for, `second` what its second one does."""

    __slots__ = ("file", "request", "second", "start")

    def __init__(self, request: Request, start: int, file: Opened | None, second: Opened | None) -> None:
        self.request = request
        self.start = start
        self.file = file
        self.second = second

    @property
    def cost(self) -> int:
        """Bytes of paths and handles that it holds."""
        request = self.request
        return sum(map(len, filter(None, (request.path, request.to, request.handle, request.second))))


class Queue:
    """All of them. Two under one id are answered in the order in which they were asked, as servers do."""

    def __init__(self) -> None:
        self.cost = 0
        self._first: OrderedDict[int, Waiting] = OrderedDict()  # a dict looks for its first among all it ever lost
        self._behind: dict[int, deque[Waiting]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, number: int, waiting: Waiting) -> None:
        """Appends a request with the id `number`."""
        self._size += 1
        self.cost += waiting.cost
        if number in self._first:
            self._behind.setdefault(number, deque()).append(waiting)
        else:
            self._first[number] = waiting

    def take(self, number: int) -> Waiting | None:
        """Removes the request that an answer with the id `number` belongs to."""
        waiting = self._first.pop(number, None)
        if waiting is None:
            return None
        self._size -= 1
        self.cost -= waiting.cost
        behind = self._behind.get(number)
        if behind:
            self._first[number] = behind.popleft()
            if not behind:
                del self._behind[number]
        return waiting

    def take_oldest(self) -> Waiting | None:
        """Removes the request that has waited longest; None when there is none."""
        return self.take(next(iter(self._first))) if self._first else None

    @property
    def earliest(self) -> int | None:
        """When the oldest was made; None when there is none."""
        return next(iter(self._first.values())).start if self._first else None
