"""The composition root: listeners, sessions, drain. Everything below it is handed what it needs from here."""

from recorder.gateway.ground import StartError
from recorder.gateway.run import serve

__all__ = ["StartError", "serve"]
