"""The catalogue on SQLite: rows, filters, paging, heads, schema, many readers beside one writer."""

import multiprocessing
import sqlite3
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recorder.catalogue.schema import MIGRATIONS
from recorder.catalogue.sqlite import Catalogue, CatalogueError
from recorder.model import Attribution, Head, Session, Source, State

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

HOUR = 3_600_000_000_000
START = 1_790_000_000_000_000_000


def session(number: int = 0, /, **changes: object) -> Session:
    who = Attribution("ci", "run-1", client="10.0.0.9:1", sources={"agent": Source.VERIFIED}, unattributed=True)
    identifier = str(uuid.UUID(int=0x019E_0000_0000_7000_8000_0000_0000_0000 + number))
    row = Session(identifier, "ssh", who, "web1", "deploy", START + number * HOUR)
    return replace(row, **changes)  # type: ignore[arg-type] # the names are those of the fields


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.db"


def filled(path: Path, *rows: Session) -> Catalogue:
    catalogue = Catalogue(path, write=True)
    for row in rows:
        catalogue.put(row)
    return catalogue


def test_a_row_comes_back_whole(path: Path) -> None:
    row = session(
        attribution=Attribution(
            agent="ci",
            run="run-1",
            request="JIRA-1",
            on_behalf_of="ana",
            credential="SHA256:x",
            client="[::1]:5",
            sources={"agent": Source.VERIFIED, "run": Source.ASSERTED, "client": Source.OBSERVED},
            unattributed=False,
        ),
        login="日本 '; DROP TABLE session; --",
        ended=START + 5,
        state=State.RECOVERED,
        reason="the agent left\x00\x1b",
        bytes_in=2**62,
        bytes_out=7,
        verdicts={"allowed": 3, "denied": 1},
        gaps=2,
        not_captured=("x11",),
        segments=3,
        tags=("incident", "büro"),
        size=12345,
    )
    catalogue = filled(path, row)
    assert catalogue.get(row.id) == row
    assert catalogue.get("nothing") is None


def test_a_row_is_replaced_by_its_newer_form(path: Path) -> None:
    catalogue = filled(path, session())
    closed = session(state=State.CLOSED, ended=START + 9, size=100)
    catalogue.put(closed)
    assert list(catalogue.sessions()) == [closed]


def test_migrations_lead_from_an_empty_file_to_the_newest_schema(path: Path) -> None:
    path.touch()
    filled(path, session()).close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_opening_again_keeps_what_is_there(path: Path) -> None:
    filled(path, session()).close()
    assert Catalogue(path, write=True).get(session().id) == session()


@pytest.mark.parametrize("write", [True, False])
def test_a_newer_schema_is_refused_with_the_mend(path: Path, write: bool) -> None:
    filled(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(CatalogueError, match=f"has schema {len(MIGRATIONS) + 1}.*use a newer one"):
        Catalogue(path, write=write)


def test_a_reader_does_not_migrate(path: Path) -> None:
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(CatalogueError, match="older schema 0: start the gateway once"):
        Catalogue(path)


def test_a_reader_of_nothing_says_what_to_run(path: Path) -> None:
    with pytest.raises(CatalogueError, match="tacho init"):
        Catalogue(path)
    assert not path.exists()


@pytest.mark.parametrize("write", [True, False])
def test_what_is_no_database_is_one_sentence(path: Path, write: bool) -> None:
    path.write_bytes(b"no database at all " * 100)
    with pytest.raises(CatalogueError, match="cannot open the catalogue"):
        Catalogue(path, write=write)


def test_a_reader_cannot_write(path: Path) -> None:
    filled(path, session()).close()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        Catalogue(path).put(session(1))


def test_a_settled_catalogue_is_one_file_that_a_reader_opens(path: Path) -> None:
    catalogue = filled(path, session())
    catalogue.settle()
    catalogue.close()
    assert [file.name for file in path.parent.iterdir()] == ["catalogue.db"]
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert [row.id for row in Catalogue(path).sessions()] == [session().id]
        assert [file.name for file in path.parent.iterdir()] == ["catalogue.db"]
    finally:
        path.parent.chmod(0o755)


def test_settling_beside_a_reader_does_no_harm(path: Path) -> None:
    catalogue = filled(path, session())
    reader = Catalogue(path)
    rows = reader.sessions()
    next(rows)
    catalogue.settle()
    catalogue.close()
    assert reader.get(session().id) == session()


ROWS = (
    session(0, target="web1", attribution=Attribution("ci", "r1", request="J-1", on_behalf_of="ana")),
    session(1, target="web2", attribution=Attribution("ci-deploy", "r1", unattributed=False)),
    session(2, target="orders", protocol="postgres", attribution=Attribution("CI", "r2"), tags=("incident",)),
    session(3, target="web1", attribution=Attribution("bot", "r3"), verdicts={"allowed": 2, "denied": 1, "masked": 0}),
)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"agent": "ci"}, [0]),
        ({"agent": "ci*"}, [1, 0]),
        ({"agent": "[bc]*"}, [3, 1, 0]),
        ({"agent": "%"}, []),
        ({"agent": "' OR 1=1 --"}, []),
        ({"on_behalf_of": "an?"}, [0]),
        ({"target": "web?"}, [3, 1, 0]),
        ({"protocol": "postgres"}, [2]),
        ({"request": "J-1"}, [0]),
        ({"request": "J-*"}, []),
        ({"run": "r1"}, [1, 0]),
        ({"run": "r*"}, []),
        ({"since": START + HOUR}, [3, 2, 1]),
        ({"until": START + HOUR}, [0]),
        ({"since": START + HOUR, "until": START + 3 * HOUR}, [2, 1]),
        ({"since": 0}, [3, 2, 1, 0]),
        ({"until": 0}, []),
        ({"unattributed": True}, [3, 2, 0]),
        ({"unattributed": False}, [3, 2, 1, 0]),
        ({"tag": "incident"}, [2]),
        ({"tag": "inc"}, []),
        ({"verdict": "denied"}, [3]),
        ({"verdict": "masked"}, []),
        ({"agent": None, "target": "web1", "run": "r1"}, [0]),
        ({"target": "web*", "unattributed": True, "verdict": "allowed"}, [3]),
    ],
)
def test_filters_narrow_and_the_newest_comes_first(path: Path, filters: dict[str, object], found: list[int]) -> None:
    catalogue = filled(path, *ROWS)
    assert [row.id for row in catalogue.sessions(**filters)] == [ROWS[number].id for number in found]


def test_a_run_that_a_channel_asserted_finds_its_session(path: Path) -> None:
    catalogue = filled(path, *ROWS)
    catalogue.add_run(ROWS[3].id, "shared")
    catalogue.add_run(ROWS[0].id, "shared")
    catalogue.add_run(ROWS[0].id, "shared")
    assert [row.id for row in catalogue.of_run("shared")] == [ROWS[0].id, ROWS[3].id]  # oldest first
    assert [row.id for row in catalogue.sessions(run="shared")] == [ROWS[3].id, ROWS[0].id]
    assert [row.id for row in catalogue.of_run("r3")] == [ROWS[3].id]
    assert catalogue.of_run("") == []


def test_pages_give_every_session_once_even_when_many_began_together(path: Path) -> None:
    catalogue = Catalogue(path, write=True)
    with sqlite3.connect(path) as db:  # one transaction: 1,200 would take their time
        for row in (session(number, started=START + number // 400) for number in range(1, 1201)):
            values = (row.id, "r", "ssh", "ci", "{}", 1, "web1", "deploy", row.started, "closed")
            db.execute(
                "INSERT INTO session (id,run,protocol,agent,sources,unattributed,target,login,started,state)"
                " VALUES (?,?,?,?,?,?,?,?,?,?)",
                values,
            )
    db.close()
    rows = list(catalogue.sessions())
    assert len(rows) == len({row.id for row in rows}) == 1200
    assert [(row.started, row.id) for row in rows] == sorted(((row.started, row.id) for row in rows), reverse=True)


def test_a_session_that_begins_while_pages_are_read_repeats_nothing(path: Path) -> None:
    catalogue = filled(path, *(session(number) for number in range(520)))
    rows = catalogue.sessions()
    seen = [next(rows).id for _ in range(500)]
    catalogue.put(session(1000))
    seen += [row.id for row in rows]
    assert len(seen) == len(set(seen)) == 520


IDS = (
    "019e0000-1111-7000-8000-0000000000aa",
    "019e0000-2222-7000-8000-0000000000ab",
    "019f0000-3333-7000-8000-0000000001ab",
)


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("019e", [1, 0]),
        ("019e0000-1", [0]),
        ("aa", [0]),
        ("ab", [2, 1]),
        ("01ab", [2]),
        (IDS[1], [1]),
        ("019E", [1, 0]),
        ("2222", []),  # neither prefix nor suffix
        ("%", []),
        ("_19e", []),
        ("0%b", []),
        ("\\", []),
        ("\\%", []),
        ("' OR 1=1 --", []),
        ("x" * 100_000, []),
    ],
)
def test_an_id_is_found_by_prefix_or_suffix_and_nothing_else(path: Path, part: str, found: list[int]) -> None:
    catalogue = filled(path, *(session(number, id=name) for number, name in enumerate(IDS)))
    assert [row.id for row in catalogue.matching(part)] == [IDS[number] for number in found]


def test_at_most_twenty_match(path: Path) -> None:
    catalogue = filled(path, *(session(number) for number in range(30)))
    assert [row.id for row in catalogue.matching("019e")] == [session(number).id for number in range(29, 9, -1)]


def test_the_latest_is_the_one_that_started_last(path: Path) -> None:
    catalogue = filled(path)
    assert catalogue.latest() is None
    for row in (session(2), session(3), session(1)):
        catalogue.put(row)
    assert catalogue.latest() == session(3)


def head(segment: int, size: int) -> Head:
    return Head("s", segment, size, bytes([size]) * 32, size * 100, f"note {size}\n")


def test_of_each_segment_the_newest_head_is_kept_and_of_its_open_chunk(path: Path) -> None:
    catalogue = filled(path)
    for size in (1, 2):
        catalogue.put_head(head(0, size), False)
        catalogue.put_head(head(0, size + 10), True)
        catalogue.put_head(head(1, size + 20), False)
    catalogue.put_head(replace(head(0, 99), session="other"), False)
    assert sorted(catalogue.heads("s"), key=lambda kept: kept[0].tree_size) == [
        (head(0, 2), False),
        (head(0, 12), True),
        (head(1, 22), False),
    ]
    assert catalogue.heads("nothing") == []


def test_the_text_of_rules_is_kept_once_under_its_hash(path: Path) -> None:
    catalogue = filled(path)
    catalogue.put_rules(b"h" * 32, "text")
    catalogue.put_rules(b"h" * 32, "text")
    catalogue.close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT sha256, text FROM rules").fetchall() == [(b"h" * 32, "text")]
    db.close()


def _read_until(path: Path, started: "Event", done: "Event", counts: "multiprocessing.Queue[list[int]]") -> None:
    catalogue = Catalogue(path)
    seen = [len(list(catalogue.sessions()))]
    started.set()
    while not done.is_set():
        seen.append(len(list(catalogue.sessions())))
    seen.append(len(list(catalogue.sessions())))
    counts.put(seen)


def test_processes_read_while_one_writes(path: Path) -> None:
    catalogue = filled(path, session(0))
    context = multiprocessing.get_context("spawn")
    done, counts = context.Event(), context.Queue()
    started = [context.Event() for _ in range(2)]
    readers = [context.Process(target=_read_until, args=(path, event, done, counts)) for event in started]
    for reader in readers:
        reader.start()
    assert all(event.wait(30) for event in started)
    for number in range(1, 120):
        catalogue.put(session(number))
    done.set()
    for _ in readers:
        seen = counts.get(timeout=30)
        assert seen == sorted(seen)
        assert seen[-1] == 120
    for reader in readers:
        reader.join(30)
        assert reader.exitcode == 0


def test_text_that_is_no_unicode_is_kept(path: Path) -> None:
    # What an agent asserts arrives as bytes, read with surrogateescape.
    row = session(attribution=Attribution("ci", "run-\udcff", request="caf\udce9"))
    catalogue = filled(path, row)
    kept = catalogue.get(row.id)
    assert kept is not None
    assert kept.attribution.agent == "ci"


@pytest.mark.parametrize("asked", ["\udcff", "a\x00b"])
def test_an_argument_that_is_no_text_finds_nothing(path: Path, asked: str) -> None:
    catalogue = filled(path, session())
    assert catalogue.matching(asked) == []
    assert list(catalogue.sessions(agent=asked)) == []
