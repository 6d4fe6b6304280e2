"""What the status line tells of a deck at this moment. Values only."""

from typing import NamedTuple

from replay.timeline import Fold
from replay.tui.deck import Deck


class Standing(NamedTuple):
    """Times in µs; `idle` is the limit, 0 when nothing is folded; `told` safe to print; `read` a share of 1."""

    playing: bool
    t: int
    duration: int
    speed: float
    idle: int
    fold: Fold | None = None
    live: bool = False
    following: bool = False
    told: str = ""
    read: float = 1.0


def standing(deck: Deck, told: str, read: float) -> Standing:
    """How a deck stands; `told` comes before what the deck has to say itself."""
    playback = deck.playback
    return Standing(
        playing=playback.playing and (deck.live or not playback.at_end),
        t=playback.here.t,
        duration=deck.timeline.duration,
        speed=playback.speed,
        idle=playback.folding.limit,
        fold=playback.folding.fold_at(playback.here.t),
        live=deck.live,
        following=deck.following,
        told=told or deck.frame_told,
        read=read,
    )
