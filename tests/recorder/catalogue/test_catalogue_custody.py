"""The custody table: entries are added and stay, with their numbers, by whichever way they came."""

import sqlite3
from pathlib import Path

import pytest

from recorder.catalogue.custody import add_directly
from recorder.catalogue.sqlite import Catalogue, CatalogueError
from recorder.model import Custody, Handling


def entry(session: str = "s", person: str = "ana", **detail: str | int | None) -> Custody:
    return Custody(99, 1_790_000_000_000_000_000, person, 1001, Handling.VIEWED, session, detail)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.db"


def test_an_entry_comes_back_with_its_number(path: Path) -> None:
    catalogue = Catalogue(path, write=True)
    assert catalogue.custody("s") == []
    hostile = entry(person="\x1b[2J'; DROP TABLE custody; --", format="cast", stream=None, part=3)
    assert [catalogue.add_custody(each) for each in (entry(), hostile, entry("other"))] == [1, 2, 3]
    first, second = catalogue.custody("s")
    assert (first.seq, second.seq) == (1, 2)
    assert (second.person, second.detail) == (hostile.person, {"format": "cast", "stream": None, "part": 3})
    assert (first.at, first.uid, first.action) == (entry().at, 1001, Handling.VIEWED)
    catalogue.close()


def test_a_number_is_never_used_again(path: Path) -> None:
    catalogue = Catalogue(path, write=True)
    assert [catalogue.add_custody(entry()) for _ in range(3)] == [1, 2, 3]
    db = sqlite3.connect(path)
    with db:
        db.execute("DELETE FROM custody WHERE seq >= 2")
    db.close()
    assert catalogue.add_custody(entry()) == 4
    catalogue.close()


@pytest.mark.parametrize("settled", [True, False])
def test_an_entry_added_directly_leaves_the_catalogue_one_file(path: Path, settled: bool) -> None:
    catalogue = Catalogue(path, write=True)
    if settled:
        catalogue.settle()
    catalogue.close()
    for _ in range(2):
        add_directly(path, entry())
    assert [file.name for file in path.parent.iterdir()] == ["catalogue.db"]
    assert path.read_bytes()[18:20] == b"\x01\x01"  # no write-ahead log any more
    reader = Catalogue(path)
    assert [found.seq for found in reader.custody("s")] == [1, 2]
    reader.close()


def test_an_entry_added_directly_beside_readers_and_a_gateway(path: Path) -> None:
    catalogue = Catalogue(path, write=True)
    reader = Catalogue(path)
    add_directly(path, entry())
    assert catalogue.add_custody(entry()) == 2
    assert [found.seq for found in reader.custody("s")] == [1, 2]
    catalogue.close()
    reader.close()


@pytest.mark.parametrize("column", ["at = 'x'", "action = 'eaten'", "detail = '[1]'", "detail = '{'", "person = 7"])
def test_a_malformed_entry_is_one_sentence(path: Path, column: str) -> None:
    catalogue = Catalogue(path, write=True)
    catalogue.add_custody(entry())
    db = sqlite3.connect(path)
    with db:
        db.execute(f"UPDATE custody SET {column}")
    db.close()
    if column == "person = 7":
        assert catalogue.custody("s")[0].person == "7"  # the column's type makes a text of it
    else:
        with pytest.raises(CatalogueError, match=r"holds a malformed entry .*: restore it"):
            catalogue.custody("s")
    catalogue.close()


def test_text_that_is_no_unicode_is_kept(path: Path) -> None:
    catalogue = Catalogue(path, write=True)
    catalogue.add_custody(entry(person="\udcff", format="\ud800"))
    (found,) = catalogue.custody("s")
    assert found.person == "\\udcff"
    assert found.detail == {"format": "\ud800"}
    catalogue.close()
