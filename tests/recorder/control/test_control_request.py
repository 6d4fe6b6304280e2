"""A line as a request: whatever arrives is a request or a refusal, and its arguments are of the type asked for."""

import json
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.control.request import Refusal, Request, parse
from recorder.control_client import Code
from recorder.rights import Caller

CALLER = Caller(1000, "ana")
_Value = TypeVar("_Value")


def unless_refused(parsed: Callable[[], _Value]) -> _Value | None:
    """What `parsed` gives; None when it refuses, as malformed and in one sentence."""
    try:
        return parsed()
    except Refusal as refusal:
        said = refusal
    assert said.code is Code.MALFORMED
    assert len(str(said).splitlines()) == 1
    return None


def request(**arguments: object) -> Request:
    return parse(json.dumps({"verb": "x", **arguments}).encode(), CALLER)


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: json.dumps({"verb": text}).encode()))
def test_any_bytes_are_a_request_or_a_refusal(line: bytes) -> None:
    found = unless_refused(lambda: parse(line, CALLER))
    if found is not None:
        assert isinstance(found.verb, str)
        assert "verb" not in found.arguments


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"verb": 1}',
        b'{"verb": null, "id": "x"}',
        b'"verb"',
        b'{"verb": "x"',
        b'{"verb": "x"} {}',
        b"\xff\xfe{",
        b"[" * 60_000,
        b'{"verb":' * 8_000,
        b'{"verb": "x", "n": ' + b"9" * 60_000 + b"}",
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(Refusal, match="a request is one line of JSON"):
        parse(line, CALLER)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_an_argument_is_of_its_type_or_refused(value: object) -> None:
    asked = request(session=value, detail=value)
    text = unless_refused(lambda: asked.text("session"))
    assert text is None or 0 < len(text) <= 256
    detail = unless_refused(asked.detail)
    assert detail is None or all(item is None or isinstance(item, str | int) for item in detail.values())


def test_texts_have_a_limit_and_may_have_a_default() -> None:
    assert request(why="a" * 9).text("why", limit=9) == "a" * 9
    with pytest.raises(Refusal, match="x needs why, a text of 9 characters at most"):
        request(why="a" * 10).text("why", limit=9)
    assert request().text("why", "") == ""
    assert request(why="").text("why", "") == ""
    for empty in (request(), request(id=""), request(id=None), request(id=["a"])):
        with pytest.raises(Refusal, match="x needs id"):
            empty.text("id")


def test_detail_has_a_limit() -> None:
    assert request().detail() == {}
    assert request(detail={"format": "cast", "n": 3, "stream": None}).detail() == {
        "format": "cast",
        "n": 3,
        "stream": None,
    }
    with pytest.raises(Refusal, match="2048 bytes of detail at most"):
        request(detail={"format": "x" * 2048}).detail()
