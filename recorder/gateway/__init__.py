"""The composition root: listeners, sessions, drain. Everything below it is handed what it needs from here."""

from recorder.gateway.run import StartError, serve

__all__ = ["StartError", "serve"]
