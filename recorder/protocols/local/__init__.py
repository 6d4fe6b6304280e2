"""A pseudo-terminal of one's own: a program on it, the terminal around it, and the bytes between them, recorded.

Knows no gateway and no catalogue; who records is told by `tap`.
"""

from recorder.protocols.local.outer import Outer
from recorder.protocols.local.program import Program, Size
from recorder.protocols.local.relay import STREAM, Ending, Tap, begin, relay
from recorder.protocols.local.signer import SignerError, signer
from recorder.protocols.local.tape import LocalTape
from recorder.protocols.local.wake import Wake

__all__ = [
    "STREAM",
    "Ending",
    "LocalTape",
    "Outer",
    "Program",
    "SignerError",
    "Size",
    "Tap",
    "Wake",
    "begin",
    "relay",
    "signer",
]
