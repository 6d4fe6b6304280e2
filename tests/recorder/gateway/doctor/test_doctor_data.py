"""The doctor on what lies on disk, and on the clock: the mend for each, and what a killed gateway left."""

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder.format import store, writer
from recorder.gateway.doctor import setup as doctor_setup
from tests.recorder.gateway.doctor.set_up import MY_UID, Folder, doctor
from tests.servers.client import HOST
from tests.servers.fixtures import NewGateway
from tests.servers.other_user import STRANGER, needs_root
from tests.servers.process import LIMIT_S
from tests.servers.site import Site
from tests.servers.tapes import until

pytestmark = pytest.mark.service


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Folder:
    return Folder(site, tmp_path / "flight")


@needs_root
def test_a_data_folder_of_another_user(folder: Folder) -> None:
    flight = folder.make()
    shutil.chown(flight / "var", STRANGER)
    report = doctor(flight)
    mend = f"run the gateway as that user, or `chown 0 {flight}/var`"
    assert report.wrong == [("data folder", f"the data folder {flight}/var belongs to uid {STRANGER}: {mend}")]


@needs_root
def test_a_folder_that_is_all_another_users_is_looked_at_as_theirs(folder: Folder) -> None:
    flight = folder.make()
    folder.config.write_text(
        folder.config.read_text().replace('"file:var/keys/upstream"', '["cat", "var/keys/upstream"]')
    )
    for path in (flight, *flight.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    report = doctor(flight)
    assert (report.status, report.wrong) == (0, [])
    # Root runs nothing that another user wrote.
    what = f"it was not looked at, which is uid {STRANGER}'s to do, the gateway's user"
    mend = f"run `sudo -u '#{STRANGER}' tacho doctor --config {folder.config}`"
    assert report.warned == [("key of web1", f"{what}: {mend}")]


def test_who_is_not_the_gateways_user(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = folder.make()
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    report = doctor(flight)
    assert (report.status, report.wrong) == (0, [])
    mend = f"run `sudo -u '#{MY_UID}' tacho doctor --config {folder.config}`"
    assert report.warned == [
        ("keys", f"only uid {MY_UID}, the gateway's user, may look at it: {mend}"),
        ("journal", f"only uid {MY_UID}, the gateway's user, may look at it: {mend}"),
        ("key of web1", f"it was not looked at, which is uid {MY_UID}'s to do, the gateway's user: {mend}"),
    ]


def test_folders_that_others_may_write_or_read(folder: Folder) -> None:
    flight = folder.make()
    (flight / "var/tapes").chmod(0o770)
    (flight / "var").chmod(0o755)
    report = doctor(flight)
    tapes = f"{flight}/var/tapes"
    assert report.wrong == [
        ("data folder", f"the folder of tapes {tapes} may be written by others: run `chmod g-w {tapes}`")
    ]
    mend = f"run `chmod o-rwx {flight}/var`"
    assert report.warned == [("data folder", f"every user of this machine may look into {flight}/var: {mend}")]


def test_a_data_folder_that_is_gone(folder: Folder) -> None:
    flight = folder.make()
    (flight / "var").rename(flight / "elsewhere")
    report = doctor(flight)
    assert report.wrong[0] == (
        "data folder",
        (
            f"there is no folder {flight}/var: put it back or mount its disk, correct [gateway] data in"
            f" {folder.config}, or begin anew with `tacho init NEW`"
        ),
    )
    assert {about for about, _ in report.wrong} == {"data folder", "key of web1"}


@pytest.mark.parametrize(
    ("key", "effect"),
    [("warn", "the gateway warns"), ("refuse", "no new session begins"), ("end", "every session is ended")],
)
def test_a_disk_below_a_threshold(folder: Folder, key: str, effect: str) -> None:
    flight = folder.make(extra=f'[limits]\ndisk = {{ {key} = "1000TiB" }}\n')
    report = doctor(flight)
    assert report.status == (0 if key == "warn" else 5)
    found = [text for about, text in report.of("warn" if key == "warn" else "wrong") if "MiB left" in text]
    assert len(found) == 1
    data = flight / "var"
    assert re.fullmatch(
        rf"the disk of {re.escape(str(data))} has \d+ MiB of \d+ MiB left, less than the 1048576000 MiB of {key} in"
        rf" \[limits\] disk, so {effect}: make room \(`du -xh {re.escape(shlex.quote(str(data)))} \| sort -h` shows"
        r" what takes it\)",
        found[0],
    )


@needs_root
def test_a_disk_in_memory_and_without_room_for_a_journal(folder: Folder) -> None:
    flight = folder.make()
    (flight / "var").rename(flight / "full")
    (flight / "var").mkdir(mode=0o750)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=750", "none", str(flight / "var")], check=True)
    try:
        shutil.copytree(flight / "full", flight / "var", dirs_exist_ok=True)
        report = doctor(flight)
    finally:
        subprocess.run(["umount", "-l", str(flight / "var")], check=True)
    forgetful = f"{flight}/var is on tmpfs, which lies in memory, and a reboot loses every tape"
    assert ("disk", f"{forgetful}: set [gateway] data in {folder.config} to a folder on a disk") in report.of("warn")
    ((about, text),) = report.wrong
    assert about == "journal"
    assert re.fullmatch(
        rf"the disk of {flight}/var has \d MiB left, and the journal takes 16 MiB, so no gateway starts: make room",
        text,
    )


def test_what_a_gateway_that_was_killed_left(folder: Folder, new_gateway: NewGateway) -> None:
    gateway = new_gateway()
    scribe = gateway.scribe
    watch = gateway.watch()
    client = folder.site.client(folder.path.with_name("client"), gateway)
    with client.start(f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        watch.begun()
        os.kill(scribe, signal.SIGSTOP)  # what crosses from now on stands in the journal alone
        assert ssh.stdin is not None
        ssh.stdin.write(b"last words\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline() == b"last words\n"
        os.kill(gateway.pid, signal.SIGKILL)
        os.kill(scribe, signal.SIGKILL)
        gateway.server.wait()
        ssh.communicate(timeout=LIMIT_S)
    until(lambda: not Path(f"/proc/{scribe}").exists() or None, "the end of the scribe")
    toml, data = gateway.folder / "tachograph.toml", gateway.data
    start = f"run `tacho gateway --config {toml}`"
    report = doctor(gateway.folder)
    assert [found for found in report.warned if not found[0].startswith(("agents", "targets"))] == [
        ("journal", (f"what 1 session of a gateway that was killed did last waits in {data}/journal: the next start"
         f" recovers them, {start}")),
        ("catalogue", (f"{data}/catalogue.db is as a gateway left it that did not stop cleanly, and was not looked"
         f" into: the next start of the gateway tidies it up, {start}")),
        ("tapes", f"1 session of the last two days has no end: the next start recovers them, {start}"),
        ("gateway", (f"none runs, and one that did not stop cleanly left {data}/run/control.sock: the next start"
         f" replaces it, {start}")),
    ]  # fmt: skip


def test_a_gateway_that_does_not_answer(new_gateway: NewGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_setup, "_ASK_LIMIT_S", 0.3)
    gateway = new_gateway()
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        report = doctor(gateway.folder, live=True)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    control = f"{gateway.data}/run/control.sock"
    assert (
        "gateway",
        (
            f"process {gateway.pid} works on {gateway.data} and does not answer on {control} (the gateway at {control}"
            f" does not answer (timed out): see its log): wait until it has started, else read its log and run"
            f" `kill {gateway.pid}`"
        ),
    ) in report.wrong


def test_a_writer_that_outlives_its_gateway(folder: Folder) -> None:
    flight = folder.make()
    (flight / "var/journal").mkdir(mode=0o750)
    with (flight / "var/journal/lock").open("w+b") as lock:
        lock.write(b"4194305\n")  # more than any process's number (proc(5), pid_max)
        lock.flush()
        writer.lock(lock.fileno())
        report = doctor(flight)
    what = f"a gateway that was killed left a process that still writes tapes in {flight}/var"
    assert report.warned == [("gateway", f"{what}: wait a moment, and run `tacho doctor` again")]


CATALOGUE: dict[str, tuple[Callable[[Path], None], str]] = {}


def spoiled(text: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def keep(spoil: Callable[[Path], None]) -> Callable[[Path], None]:
        CATALOGUE[spoil.__name__.strip("_")] = spoil, text
        return spoil

    return keep


RESTORE = "restore it from a backup (tapes play without it: `tacho play PATH`)"


@spoiled(f"{{path}} is no SQLite database: {RESTORE}")
def _overwritten(path: Path) -> None:
    path.write_bytes(b"not a catalogue" * 1000)


@spoiled(f"{{path}} is no SQLite database: {RESTORE}")
def _empty(path: Path) -> None:
    path.write_bytes(b"")


@spoiled("{path} has schema 9, and this tacho knows 2: install the newer tacho that wrote it")
def _newer(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()


@spoiled("{path} may be read by every user of this machine: run `chmod o-r {path}`")
def _open_to_all(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize("how", sorted(CATALOGUE))
def test_a_catalogue_that_cannot_be_used(folder: Folder, how: str) -> None:
    flight = folder.make()
    path = flight / "var/catalogue.db"
    spoil, text = CATALOGUE[how]
    spoil(path)
    report = doctor(flight)
    assert report.status == 5
    assert report.wrong == [("catalogue", text.format(path=path))]


def test_a_damaged_catalogue(folder: Folder) -> None:
    flight = folder.make()
    path = flight / "var/catalogue.db"
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(4096)
    path.write_bytes(content)
    ((about, text),) = doctor(flight).wrong
    assert about == "catalogue"
    assert text.startswith((f"{path} is damaged (", f"{path} cannot be read ("))
    assert text.endswith(RESTORE)


def test_a_catalogue_that_is_gone(folder: Folder) -> None:
    flight = folder.make()
    path = flight / "var/catalogue.db"
    path.unlink()
    report = doctor(flight)
    assert report.wrong == []
    what = f"there is no {path} yet: the next start of the gateway makes it"
    assert report.warned == [("catalogue", f"{what}, {folder.start}")]
    session(flight, 1_700_000_000)
    assert doctor(flight).wrong == [("catalogue", f"there is no {path}, and there are tapes: {RESTORE}")]


def session(flight: Path, began: int) -> str:
    """The folder of a session that began then (UNIX s); its ID."""
    name = store.new_session_id(began * 1_000_000_000)
    store.folder_of(flight / "var/tapes", name).mkdir(parents=True)
    return name


def test_tapes_that_are_gone(new_gateway: NewGateway, folder: Folder) -> None:
    gateway = new_gateway()
    watch = gateway.watch()
    assert folder.site.client(folder.path.with_name("client"), gateway).exec("true").returncode == 0
    (tape,) = watch.tapes(1)
    gateway.stop()
    assert [about for about, _ in doctor(gateway.folder).wrong if about == "tapes"] == []
    shutil.rmtree(gateway.tapes)
    gateway.tapes.mkdir(mode=0o750)
    part = f"1 of the 1 newest sessions, {tape.session[-8:]} for one, have no tape in {gateway.tapes}"
    assert ("tapes", f"{part}: restore that folder from a backup, or mount its disk") in doctor(gateway.folder).wrong


def test_a_clock_that_is_behind_the_newest_session(folder: Folder) -> None:
    flight = folder.make()
    session(flight, 4_070_908_800)
    ((about, text),) = doctor(flight).wrong
    assert about == "clock"
    assert re.fullmatch(
        r"it is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC by this clock, and the newest session began at 2099-01-01 00:00:00"
        r" UTC: set it \(`timedatectl set-ntp true`, or `chronyc makestep`\)",
        text,
    )
