"""From a recording's frames to what a person reads: commands, what came back, what was refused.

Everything here is derived and can be derived again; text that it gives out is printable.
"""

from replay.transcript.commands import MAXIMUM_COMMANDS, Command, commands
from replay.transcript.entries import Entry, Mark, entries
from replay.transcript.moment import MomentError, moment

__all__ = ["MAXIMUM_COMMANDS", "Command", "Entry", "Mark", "MomentError", "commands", "entries", "moment"]
