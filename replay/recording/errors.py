"""What can keep a recording from being opened. Each text is one sentence: what, where, the mend."""


class RecordingError(Exception):
    """A recording that cannot be opened."""


class NotFound(RecordingError):
    """No recording, or more than one, answers to what was named."""


class Unreadable(RecordingError):
    """A file that is no tape, or of which nothing can be read."""
