"""The SSH server and client of the gateway: the only package that imports asyncssh."""

from recorder.protocols.ssh.serve.crowd import Crowd
from recorder.protocols.ssh.serve.server import Server, listen, make_key_pair

__all__ = ["Crowd", "Server", "listen", "make_key_pair"]
