"""The SFTP protocol, version 3, as OpenSSH speaks it (draft-ietf-secsh-filexfer-02), read and never spoken.

`Sftp` turns the bytes of both sides into file operations; `Framing` only follows where packets end.
"""

from recorder.protocols.ssh.sftp.framing import Framing, is_sftp
from recorder.protocols.ssh.sftp.operation import Attributes, Fault, FileOperation, Status
from recorder.protocols.ssh.sftp.parser import MAXIMUM_HANDLES, MAXIMUM_REQUESTS, Sftp

__all__ = [
    "MAXIMUM_HANDLES",
    "MAXIMUM_REQUESTS",
    "Attributes",
    "Fault",
    "FileOperation",
    "Framing",
    "Sftp",
    "Status",
    "is_sftp",
]
