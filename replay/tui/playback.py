"""Where the player is and how it moves on, by a clock that is given to it. Draws nothing."""

from collections.abc import Callable

from replay.timeline import Folding, Moment

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_SECOND = 1_000_000


class Playback:
    """`here` is the moment shown. `clock` gives seconds that never run backwards."""

    def __init__(self, folding: Folding, clock: Callable[[], float], speed: float = 1.0) -> None:
        self.folding = folding
        self.speed = min(max(speed, SPEEDS[0]), SPEEDS[-1])
        self.here = Moment(0)
        self.playing = False
        self._clock = clock
        self._since = 0.0
        self._from = 0

    @property
    def played(self) -> int:
        """Play time of `here`, in µs."""
        return self.folding.folded(self.here.t)

    @property
    def at_end(self) -> bool:
        """Whether nothing is left to play."""
        return self.here.t >= self.folding.session_duration and self.here.frame is None

    def tick(self) -> bool:
        """Moves on to the time that the clock says; True when `here` changed. Stops nothing at the end."""
        if not self.playing:
            return False
        played = self._from + round((self._clock() - self._since) * self.speed * _SECOND)
        if played >= self.folding.duration:
            moved = not self.at_end
            self.seek(Moment(self.folding.session_duration))
            return moved
        t = max(self.folding.session(played), self.here.t)
        if t == self.here.t:
            return False
        self.here = Moment(t)
        return True

    def play(self) -> None:
        """Goes on from here."""
        self.playing = True
        self._anchor()

    def pause(self) -> None:
        """Stays here."""
        self.playing = False

    def seek(self, to: Moment) -> None:
        """Moves to a moment, playing or not; one outside of the session becomes the nearest inside."""
        t = min(max(to.t, 0), self.folding.session_duration)
        self.here = Moment(t, to.frame if t == to.t else None)
        self._anchor()

    def seek_played(self, played: int) -> None:
        """Moves to a play time in µs."""
        self.seek(Moment(self.folding.session(min(max(played, 0), self.folding.duration))))

    def set_speed(self, speed: float) -> None:
        """Plays at `speed` times real time from here on."""
        self.speed = speed
        self._anchor()

    def fold(self, folding: Folding) -> None:
        """Takes another mapping: another idle limit, or a session that grew. `here` stays."""
        self.folding = folding
        self._anchor()

    def _anchor(self) -> None:
        self._since = self._clock()
        self._from = self.played
