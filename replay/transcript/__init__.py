"""From a recording's frames to what a person reads: commands, what came back, what was refused.

Everything here is derived and can be derived again; text that it gives out is printable.
"""

from replay.transcript.commands import MAXIMUM_COMMANDS, Command, Listing, commands
from replay.transcript.entries import Entry, Mark, Reading, damaged, entries
from replay.transcript.files import files
from replay.transcript.moment import MomentError, moment

__all__ = [
    "MAXIMUM_COMMANDS",
    "Command",
    "Entry",
    "Listing",
    "Mark",
    "MomentError",
    "Reading",
    "commands",
    "damaged",
    "entries",
    "files",
    "moment",
]
