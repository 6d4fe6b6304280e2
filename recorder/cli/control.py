"""How verbs ask the gateway that runs here: its refusals as exit codes."""

from recorder.cli.verb import ERROR, FORBIDDEN, NOT_FOUND, Failure
from recorder.config import Config


def asked(config: Config, verb: str, **arguments: object) -> dict[str, object]:
    """What the gateway answers to `verb`; Failure when it refuses, `control_client.NoGateway` when none runs."""
    from recorder.control_client import Code, ControlRefused, ask

    codes = {Code.FORBIDDEN: FORBIDDEN, Code.NOT_FOUND: NOT_FOUND}
    try:
        return ask(config.socket, verb, **arguments)
    except ControlRefused as refusal:
        raise Failure(str(refusal), codes.get(refusal.code, ERROR)) from None
