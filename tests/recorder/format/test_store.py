"""Names of tapes in a data folder."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recorder.format import store


def test_a_session_lies_under_the_day_that_its_id_tells(tmp_path: Path) -> None:
    day = datetime(2026, 3, 9, 23, 59, 59, 999_000, UTC)
    session = store.new_session_id(int(day.timestamp() * 1000) * 1_000_000)
    assert store.folder_of(tmp_path, session) == tmp_path / "2026/03/09" / session


def test_an_id_is_a_uuid_of_version_seven_with_its_time() -> None:
    now = 1_790_000_000_123_456_789
    identifier = uuid.UUID(store.new_session_id(now))
    assert (identifier.version, identifier.variant) == (7, uuid.RFC_4122)
    assert identifier.int >> 80 == now // 1_000_000


def test_ids_of_one_moment_differ_and_later_ones_sort_later() -> None:
    now = 1_790_000_000_000_000_000
    assert len({store.new_session_id(now) for _ in range(1000)}) == 1000
    assert store.new_session_id(now) < store.new_session_id(now + 1_000_000)


@pytest.mark.parametrize(
    "session",
    [
        "",
        "../../etc/passwd",
        "019e0000-0000-7000-8000-0123456789ab/../x",
        "019E0000-0000-7000-8000-0123456789AB",
        "{019e0000-0000-7000-8000-0123456789ab}",
        "urn:uuid:019e0000-0000-7000-8000-0123456789ab",
        "019e00000000700080000123456789ab",
        str(uuid.UUID(int=0)),
        "9273cd70-8364-431a-936b-5cb342ed51bf",  # a random one
    ],
)
def test_what_is_no_session_id_names_no_folder(tmp_path: Path, session: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        store.folder_of(tmp_path, session)


def test_segments_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10.tape", "2.tape", "0.tape", "x.tape", "1.tape.tmp", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in store.segments(tmp_path)] == ["0.tape", "2.tape", "10.tape"]
    assert store.segments(tmp_path / "nothing") == []


def test_a_name_ending_in_other_digits_is_no_segment_and_no_crash(tmp_path: Path) -> None:
    for name in ("0.tape", "².tape", "٣.tape"):
        (tmp_path / name).touch()
    assert (tmp_path / "0.tape") in store.segments(tmp_path)
