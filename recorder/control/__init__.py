"""The control socket: whatever changes state while a gateway runs goes through it, by rights of persons."""

from recorder.control.server import Bounds, Control, ControlError
from recorder.control.verbs import VERBS, Actions, Sessions

__all__ = ["VERBS", "Actions", "Bounds", "Control", "ControlError", "Sessions"]
