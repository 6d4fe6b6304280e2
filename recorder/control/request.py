"""A line of the control socket as a request: its verb, and its arguments, each asked for by type. Trusts nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from recorder.control_client import Code
from recorder.rights import Caller

_DETAIL_LIMIT = 2048  # bytes of JSON


class Refusal(Exception):
    """A request that is not done; the text is one sentence for the caller."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for. Its methods raise Refusal where an argument is missing or of another type."""

    caller: Caller
    verb: str
    arguments: Mapping[str, object]

    def has(self, name: str) -> bool:
        """Whether the argument was given."""
        return self.arguments.get(name) is not None

    def text(self, name: str, default: str | None = None, limit: int = 256) -> str:
        """A text of `limit` characters at most; without `default` it must be there and not be empty."""
        value = self.arguments.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not (value or default is not None) or len(value) > limit:
            raise Refusal(Code.MALFORMED, f"{self.verb} needs {name}, a text of {limit} characters at most")
        return value

    def detail(self) -> dict[str, str | int | None]:
        """The argument `detail`: texts, whole numbers and nulls by name; empty when it was not given."""
        value = self.arguments.get("detail", {})
        if not isinstance(value, dict) or not all(isinstance(item, str | int | None) for item in value.values()):
            raise Refusal(Code.MALFORMED, f"{self.verb} needs detail as texts and numbers by name")
        if len(json.dumps(value)) > _DETAIL_LIMIT:
            raise Refusal(Code.MALFORMED, f"{self.verb} takes {_DETAIL_LIMIT} bytes of detail at most")
        return value


def parse(line: bytes, caller: Caller) -> Request:
    """The request in a line of JSON: {"verb": NAME, …}. Refusal when it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    match value:
        case {"verb": str(verb), **arguments}:
            return Request(caller, verb, {str(name): argument for name, argument in arguments.items()})
    raise Refusal(Code.MALFORMED, 'a request is one line of JSON: {"verb": NAME, …}')
