"""The clerk: rows in order, only the newest heads, and a row that fails stops nothing."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recorder.catalogue.sqlite import Catalogue
from recorder.gateway.clerk import Clerk
from recorder.model import Attribution, Head, Session, State

ROW = Session("019e0000-0000-7000-8000-000000000001", "ssh", Attribution("ci", "run-1"), "web1", "deploy", 1)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue(tmp_path / "catalogue.db", write=True)
    yield opened
    opened.close()


def head(size: int, session: str = ROW.id, segment: int = 0) -> Head:
    return Head(session, segment, size, bytes(32), size, f"note {size}")


def test_rows_are_written_in_the_order_they_came(catalogue: Catalogue) -> None:
    clerk = Clerk(catalogue)
    for size in range(200):
        clerk.put(replace(ROW, size=size))
    clerk.put(replace(ROW, state=State.CLOSED, size=200))
    clerk.add_run(ROW.id, "shared")
    clerk.stop()
    assert catalogue.get(ROW.id) == replace(ROW, state=State.CLOSED, size=200)
    assert [row.id for row in catalogue.of_run("shared")] == [ROW.id]


def test_stopping_writes_what_is_left(catalogue: Catalogue) -> None:
    clerk = Clerk(catalogue)
    rows = [replace(ROW, id=f"019e0000-0000-7000-8000-{number:012x}", started=number) for number in range(100)]
    for row in rows:
        clerk.put(row)
        clerk.put_head(head(1, row.id), False)
    clerk.stop()
    assert list(catalogue.sessions()) == rows[::-1]
    assert all(catalogue.heads(row.id) == [(head(1, row.id), False)] for row in rows)


def test_of_many_heads_the_newest_is_kept_for_each_segment_and_sort(catalogue: Catalogue) -> None:
    clerk = Clerk(catalogue)
    for size in range(1, 51):
        clerk.put_head(head(size), False)
        clerk.put_head(head(size + 100), True)
        clerk.put_head(head(size + 200, segment=1), False)
    clerk.stop()
    kept = sorted((found.segment, running, found.tree_size) for found, running in catalogue.heads(ROW.id))
    assert kept == [(0, False, 50), (0, True, 150), (1, False, 250)]


def test_many_threads_may_hand_in_rows(catalogue: Catalogue) -> None:
    clerk = Clerk(catalogue)

    def hand_in(thread: int) -> None:
        for number in range(25):
            clerk.put(replace(ROW, id=f"019e0000-0000-7000-8000-{thread:06x}{number:06x}"))
            clerk.put_head(head(number + 1, f"{thread}"), False)

    threads = [threading.Thread(target=hand_in, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clerk.stop()
    assert len(list(catalogue.sessions())) == 100
    assert [catalogue.heads(str(number))[0][0].tree_size for number in range(4)] == [25] * 4


def test_a_row_that_cannot_be_written_is_logged_and_stops_nothing(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    clerk = Clerk(catalogue)
    with caplog.at_level(logging.ERROR):
        clerk.put(replace(ROW, id="too-big", size=2**70))
        clerk.put(ROW)
        clerk.stop()
    assert list(catalogue.sessions()) == [ROW]
    assert "the tapes go on" in caplog.text
