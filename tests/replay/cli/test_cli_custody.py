"""Whoever looks at a session, or copies it, is entered into the custody table first; who may not is shown nothing."""

import asyncio
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recorder import control_client
from recorder.catalogue.sqlite import Catalogue
from recorder.config import load
from recorder.control import Control
from recorder.model import Handling, Session
from recorder.rights import account
from replay.cli import tacho
from tests.replay.tapes import Library
from tests.servers.client import HOST
from tests.servers.gateway import Gateway
from tests.servers.other_user import STRANGER, needs_root, tacho_as
from tests.servers.site import Site

ME = account(os.geteuid())
# Every verb of `tacho`: with what it shows a session, or that it shows none. A new one must be entered here.
VIEWS = {"show": (), "cmds": (), "files": (), "screen": ("--at", "0")}
COPIES = {"export": ("--as", "txt", "-o", "-")}
ON_A_TERMINAL = {"play", "watch"}  # they open a session as the others do, and only there
SHOW_NOTHING = {"init", "gateway", "kill", "doctor", "rec", "ls", "verify"}


@pytest.fixture
def library(short_path: Path) -> Library:
    library = Library(short_path)
    for minutes in (0, 1):
        tape = library.tape(minutes).open().shell(1).run(2, b"echo seen", b"seen\n")
        tape.close()
        library.add(tape, run="r1")
    return library


def invoke(library: Library, *arguments: str) -> Result:
    result = CliRunner().invoke(tacho, [*arguments, "--config", str(library.file)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def entries(library: Library) -> list[tuple[str, int, str, str, dict[str, object]]]:
    """The custody of all sessions in its order: person, uid, action, session's end, detail."""
    catalogue = Catalogue(library.config.catalogue)
    found = [entry for session in catalogue.sessions() for entry in catalogue.custody(session.id)]
    catalogue.close()
    found.sort(key=lambda entry: entry.seq)
    return [(entry.person, entry.uid, entry.action, entry.session[-8:], dict(entry.detail)) for entry in found]


def ids(library: Library) -> list[str]:
    catalogue = Catalogue(library.config.catalogue)
    found = [session.id for session in catalogue.sessions()]
    catalogue.close()
    return found


class NoSessions:
    """A gateway in which nothing runs."""

    def live(self) -> Sequence[Session]:
        return ()

    def end(self, session: str, reason: str) -> bool:
        return False


@contextmanager
def running(library: Library) -> Iterator[None]:
    """The control socket of a gateway on the library, with the persons of its configuration."""
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        catalogue = Catalogue(library.config.catalogue, write=True)
        async with Control(load(library.file), NoSessions(), catalogue):
            ready.set()
            await asyncio.to_thread(stop.wait)
        catalogue.settle()
        catalogue.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield
    finally:
        stop.set()
        thread.join(30)


def test_every_verb_stands_in_this_test() -> None:
    assert set(tacho.commands) <= {*VIEWS, *COPIES, *ON_A_TERMINAL, *SHOW_NOTHING}


@pytest.mark.parametrize("gateway_runs", [True, False])
@pytest.mark.parametrize("verb", [*VIEWS, *COPIES])
def test_each_look_is_entered_once(library: Library, verb: str, gateway_runs: bool) -> None:
    name = ids(library)[0]
    arguments = VIEWS.get(verb, COPIES.get(verb, ()))
    if gateway_runs:
        with running(library):
            result = invoke(library, verb, name[-8:], *arguments)
    else:
        result = invoke(library, verb, name[-8:], *arguments)
    assert (result.exit_code, "custody" in result.stderr) == (0, False)
    action, detail = (Handling.EXPORTED, {"format": "txt"}) if verb in COPIES else (Handling.VIEWED, {})
    assert entries(library) == [(ME, os.geteuid(), action, name[-8:], detail)]
    assert sorted(path.name for path in library.config.data.glob("catalogue*")) == ["catalogue.db"]


def test_a_run_is_as_many_entries_as_it_has_sessions(library: Library) -> None:
    assert invoke(library, "show", "r1").exit_code == 0
    assert [session for *_, session, _ in entries(library)] == [name[-8:] for name in reversed(ids(library))]


def test_what_shows_nothing_of_a_session_leaves_no_entry(library: Library) -> None:
    name = ids(library)[0]
    with running(library):
        assert invoke(library, "ls").exit_code == 0
        assert invoke(library, "verify", name).exit_code == 0
        assert invoke(library, "show", "ffff").exit_code == 3
    assert entries(library) == []


def test_a_tape_named_by_its_path_is_outside_the_library(library: Library) -> None:
    path = next(library.config.tapes.rglob("*.tape"))
    with running(library):
        assert invoke(library, "show", str(path)).exit_code == 0
    assert entries(library) == []


def persons(library: Library, may: str) -> None:
    library.file.write_text(f'[[person]]\nname = "ana"\nos_user = "{ME}"\nmay = [{may}]\n')


def test_with_the_right_to_read_one_may_view_and_not_export(library: Library, tmp_path: Path) -> None:
    persons(library, '"read"')
    name, target = ids(library)[0], tmp_path / "copy.txt"
    with running(library):
        assert "seen" in invoke(library, "show", name).stdout
        result = invoke(library, "export", name, "--as", "txt", "-o", str(target))
        assert (result.exit_code, result.stdout) == (6, "")
        assert result.stderr.startswith("tacho: ana has not the right export: ")
        assert len(result.stderr.splitlines()) == 1
    assert not target.exists()
    assert [(person, action) for person, _, action, *_ in entries(library)] == [("ana", "viewed")]


@pytest.mark.parametrize("verb", [*VIEWS, *COPIES])
def test_who_may_nothing_is_shown_nothing(library: Library, verb: str) -> None:
    persons(library, "")
    with running(library):
        result = invoke(library, verb, "latest", *VIEWS.get(verb, COPIES.get(verb, ())))
    assert (result.exit_code, result.stdout) == (6, "")
    assert entries(library) == []


def test_a_gateway_that_does_not_answer_is_said_and_nothing_shown(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_client, "_LIMIT_S", 0.2)
    library.config.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(library.config.socket))
        deaf.listen()
        result = invoke(library, "show", "latest")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "does not answer" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    # It is gone, and its socket still lies there: reading goes on.
    assert invoke(library, "show", "latest").exit_code == 0


def test_an_entry_that_cannot_be_written_without_a_gateway_is_said(library: Library) -> None:
    db = sqlite3.connect(library.config.catalogue)
    db.execute("DROP TABLE custody")
    db.close()
    result = invoke(library, "show", "latest")
    assert result.exit_code == 0
    assert "seen" in result.stdout
    assert (
        result.stderr == f"tacho: cannot write a custody entry to {library.config.catalogue}: no such table: custody\n"
    )


@needs_root
def test_without_a_gateway_another_user_is_told_that_no_entry_is_left(library: Library) -> None:
    shutil.chown(library.config.catalogue, STRANGER)
    assert invoke(library, "show", "latest").stderr == (
        "tacho: no gateway runs: this viewing leaves no custody entry\n"
    )
    result = invoke(library, "export", "latest", "--as", "txt", "-o", "-")
    assert (result.exit_code, result.stderr) == (0, "tacho: no gateway runs: this export leaves no custody entry\n")
    assert entries(library) == []


@pytest.mark.service
@needs_root
def test_other_users_of_the_machine_beside_a_gateway_and_after_it(site: Site, common_path: Path) -> None:
    extra = '[[person]]\nname = "ana"\nos_user = "daemon"\nmay = ["read"]\n'
    extra += '[[agent]]\nname = "worker"\nos_user = "mail"\n'
    gateway = site.start(common_path / "g", extra=extra)
    config = ("--config", str(gateway.folder / "tachograph.toml"))
    try:
        watch = gateway.watch()
        assert site.client(common_path / "c", gateway).ssh(f"web1@{HOST}", "echo seen").stdout == b"seen\n"
        (name,) = (tape.session for tape in watch.tapes(1))
        viewed = tacho_as(1, "show", name, *config)
        assert (viewed.returncode, viewed.stderr) == (0, "")
        assert "seen" in viewed.stdout
        for uid in (8, STRANGER):
            refused = tacho_as(uid, "show", name, *config)
            assert (refused.returncode, refused.stdout) == (6, "")
            assert len(refused.stderr.splitlines()) == 1
        assert custody(gateway, name) == [("ana", 1, "viewed")]
    finally:
        assert gateway.stop() == 0
    after = tacho_as(1, "show", name, *config)
    assert (after.returncode, after.stdout) == (0, viewed.stdout)
    assert after.stderr == "tacho: no gateway runs: this viewing leaves no custody entry\n"
    assert custody(gateway, name) == [("ana", 1, "viewed")]
    gateway.assert_sound()


def custody(gateway: Gateway, name: str) -> list[tuple[str, int, str]]:
    catalogue = Catalogue(gateway.data / "catalogue.db")
    found = [(entry.person, entry.uid, entry.action.value) for entry in catalogue.custody(name)]
    catalogue.close()
    return found
