"""Recordings in other formats, one encoder a file. Each gives text piece by piece; none opens a file or a tape."""

from collections.abc import Callable, Iterator

from replay.recording import Recording, RecordingError

Encoder = Callable[[Recording, int | None], Iterator[str]]
"""An encoder: of a recording, and of one of its streams where the format shows one (None: the encoder's choice)."""


class NothingToExport(RecordingError):
    """The recording holds nothing that the format can show; one sentence."""


def _cast() -> Encoder:
    from replay.export import cast

    return cast.encode


def _txt() -> Encoder:
    from replay.export import txt

    return txt.encode


def _jsonl() -> Encoder:
    from replay.export import jsonl

    return jsonl.encode


FORMATS: dict[str, Callable[[], Encoder]] = {"cast": _cast, "txt": _txt, "jsonl": _jsonl}
"""Format -> what loads its encoder, so that naming the formats imports none of them."""
