"""The terminal player of a recording. Draws what the floors below computed; writes nothing and interprets nothing."""

from replay.recording import Recording
from replay.tui.app import PlayerApp
from replay.tui.picture import picture

__all__ = ["PlayerApp", "picture", "play", "watch"]


def play(recording: Recording, at: int = 0, speed: float = 1.0, idle: float = 2.0) -> None:
    """Plays a recording in this terminal until the person leaves.

    Begins at `at` (µs), playing at `speed` when that is the start and paused elsewhere; at the end of a live recording
    it follows. Silences of more than `idle` seconds are folded to that length, none when it is 0.
    """
    PlayerApp(recording, at, speed, idle, playing=at == 0).run()


def watch(recording: Recording) -> None:
    """Follows a live recording in this terminal until the person leaves; stays when the session ends."""
    PlayerApp(recording, recording.duration, follow=True).run()
