"""Writes the catalogue off the event loop and off the writer thread: rows in order, of the heads only the newest."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from recorder.catalogue.sqlite import Catalogue
from recorder.model import Head, Session

_INTERVAL_S = 0.1

log = logging.getLogger("tacho.catalogue")


class Clerk:
    """One thread that writes the catalogue (`recorder.session.Rows`); its methods return at once, from any thread."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._todo: deque[Callable[[], None]] = deque()
        self._heads: dict[tuple[str, int, bool], Head] = {}
        self._event = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catalogue", daemon=True)
        self._thread.start()

    def put(self, session: Session) -> None:
        """Keeps the row as it is now."""
        self._do(lambda: self._catalogue.put(session))

    def add_run(self, session: str, run: str) -> None:
        """Notes that a channel asserted `run`."""
        self._do(lambda: self._catalogue.add_run(session, run))

    def put_head(self, head: Head, running: bool) -> None:
        """Keeps a head; of those of one segment that come in one interval, the newest."""
        self._heads[head.session, head.segment, running] = head

    def stop(self) -> None:
        """Writes what is left and ends the thread; waits for it (30 s at most)."""
        self._stopping.set()
        self._event.set()
        self._thread.join(30)

    def _do(self, step: Callable[[], None]) -> None:
        self._todo.append(step)
        self._event.set()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._event.wait(_INTERVAL_S if self._heads else 1.0)
            stopping = self._stopping.is_set()
            self._event.clear()
            while self._todo:
                self._attempt(self._todo.popleft())
            for key in list(self._heads):
                head = self._heads.pop(key)
                self._attempt(lambda head=head, running=key[2]: self._catalogue.put_head(head, running))  # type: ignore[misc] # mypy cannot infer a lambda with defaults

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            # The tape is the record: a catalogue that fails must not end sessions.
            log.exception("cannot write the catalogue %s; the tapes go on", self._catalogue.path)
