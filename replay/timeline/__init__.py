"""What a player needs of a recording: marks, activity, idle gaps, moments, and each stream's screen at any moment.

Computed from the tape and kept in bounded memory; draws nothing and writes nothing.
"""

from replay.timeline.activity import Activity
from replay.timeline.folding import Fold, Folding
from replay.timeline.mark import Mark, MarkKind
from replay.timeline.moment import Moment, NoSuchMoment, parse_moment
from replay.timeline.scrubber import Scrubber
from replay.timeline.stream import Stream
from replay.timeline.survey import Timeline
from replay.timeline.view import View

__all__ = [
    "Activity",
    "Fold",
    "Folding",
    "Mark",
    "MarkKind",
    "Moment",
    "NoSuchMoment",
    "Scrubber",
    "Stream",
    "Timeline",
    "View",
    "parse_moment",
]
