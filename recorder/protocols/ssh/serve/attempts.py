"""What a connection tries to authenticate with: how often it may, how long it waits, and the words for the log."""

from recorder.identity import fingerprint
from recorder.safe import quoted

_FAILURES = 6  # as OpenSSH's MaxAuthTries
_REQUESTS = 20  # those included that ask whether a key would do
_FREE = 2  # failures after which the next answer still comes at once
_PAUSE_S = 0.1
_SHOWN = 3  # fingerprints in a line of the log


class Attempts:
    """The authentication requests of one connection."""

    def __init__(self) -> None:
        self._requests = 0
        self._failures = 0
        self._free = False  # the present request's failure does not count
        self._unknown: dict[str, None] = {}  # fingerprints, in the order in which they were offered
        self._unproved: dict[str, None] = {}
        self._certificates = 0

    def begun(self, method: bytes) -> float:
        """Counts a request; for how many seconds it must wait."""
        self._requests += 1
        # The first request asks which methods there are (RFC 4252 section 5.2).
        self._free = self._requests == 1 and method == b"none"
        late = self._failures - _FREE
        return 0.0 if late <= 0 else _PAUSE_S * 2.0 ** (late - 1)

    def failed(self) -> None:
        """Counts a failure."""
        if not self._free:
            self._failures += 1

    @property
    def exhausted(self) -> str:
        """The sentence for a connection that may not try again; empty while it may."""
        mend = "offer fewer keys (with OpenSSH: IdentitiesOnly yes and one IdentityFile)"
        if self._failures >= _FAILURES:
            return f"too many authentication failures, {_FAILURES} at most: {mend}"
        if self._requests > _REQUESTS:
            return f"too many authentication requests, {_REQUESTS} at most: {mend}"
        return ""

    def unknown(self, blob: bytes) -> None:
        """A key was offered that no agent has."""
        self._unknown[fingerprint(blob)] = None

    def unproved(self, blob: bytes) -> None:
        """A key was offered that would do, and is not proved yet."""
        self._unproved[fingerprint(blob)] = None

    def certificate_refused(self) -> None:
        """A certificate was offered that would not do; the reason is logged apart."""
        self._certificates += 1

    def summary(self, user: str) -> str:
        """What was tried, for the log."""
        said = []
        if self._unknown:
            said.append(f"no agent has {_listed(list(self._unknown))}")
        if self._certificates:
            said.append("its certificate was refused")
        if self._unproved:
            said.append(f"no good signature came for {_listed(list(self._unproved))}")
        if not said:
            said.append("it offered no key" if self._requests else "it asked for nothing")
        return f"user {quoted(user, 64)}: {', and '.join(said)}" if self._requests else said[0]


def _listed(fingerprints: list[str]) -> str:
    shown = ", ".join(fingerprints[:_SHOWN])
    rest = len(fingerprints) - _SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown
