"""What real clients do to files through the gateway is what `tacho files` lists: sftp, scp, requests in parallel."""

import asyncio
import json
import os
import tracemalloc
from pathlib import Path

import pytest
from click.testing import CliRunner

from recorder.format import store
from recorder.format.reader import SegmentReader
from replay import recording
from replay.cli import tacho
from replay.transcript import files
from tests.servers.client import HOST, Client, Done, run
from tests.servers.gateway import Gateway

pytestmark = pytest.mark.service

Listed = dict[str, object]
_SERVERS = (Path("/usr/lib/openssh/sftp-server"), Path("/usr/libexec/openssh/sftp-server"))
_LOOKS = {"stat", "lstat", "realpath", "limits", "users-groups-by-id", "fstat"}  # what clients ask on the way


def listed(gateway: Gateway, session: str, known: str = "exact") -> list[Listed]:
    """`tacho files --json`, without looks."""
    config = str(gateway.folder / "tachograph.toml")
    result = CliRunner().invoke(tacho, ["files", session, "--json", "--config", config])
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    found: list[Listed] = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(each["known"] == known and each["stream"] == 1 for each in found)
    return [each for each in found if each["operation"] not in _LOOKS]


def brief(each: Listed) -> tuple[object, ...]:
    """Operation, path, second path, the status's name."""
    status = each["status"]
    assert isinstance(status, dict)
    return each["operation"], each["path"], each["to"], status["name"]


def moved(found: list[Listed]) -> dict[object, tuple[object, object, object]]:
    """By path of what was read or written: operation, bytes, whether complete."""
    kinds = ("read", "write")
    return {
        each["path"]: (each["operation"], each["bytes"], each["complete"])
        for each in found
        if each["operation"] in kinds
    }


def sftp(client: Client, *lines: str) -> Done:
    return client.run(client.command("sftp", "-b", "-", f"web1@{HOST}"), "\n".join(lines).encode())


def test_an_sftp_batch_is_listed_as_it_was_asked_for(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    here = tmp_path / "there"
    here.mkdir()
    (tmp_path / "big").write_bytes(os.urandom(1_234_567))
    (tmp_path / "empty").touch()
    watch = gateway.watch()
    done = sftp(
        client,
        f"put {tmp_path}/big {here}/big",
        f"put {tmp_path}/empty {here}/empty",
        f"get {here}/big {tmp_path}/back",
        f"get {here}/empty {tmp_path}/back-empty",
        f"-get {here}/none {tmp_path}/none",
        f"mkdir {here}/d",
        f"chmod 640 {here}/big",
        f"rename {here}/big {here}/d/moved",
        f"ln {here}/d/moved {here}/hard",
        f"ln -s {here}/d/moved {here}/soft",
        f"ls {here}",
        f"df {here}",
        f"rm {here}/hard",
        f"rm {here}/soft",
        f"-rmdir {here}/d",
        f"rm {here}/d/moved",
        f"rmdir {here}/d",
        "-rm /proc/version",
        f'put {tmp_path}/empty "{here}/two words"',
    )
    assert done.returncode == 0, done.stderr
    found = listed(gateway, watch.tape().session)
    assert [brief(each) for each in found] == [
        ("write", f"{here}/big", None, "ok"),
        ("write", f"{here}/empty", None, "ok"),
        ("read", f"{here}/big", None, "ok"),
        ("read", f"{here}/empty", None, "ok"),
        ("mkdir", f"{here}/d", None, "ok"),
        ("setstat", f"{here}/big", None, "ok"),
        ("rename", f"{here}/big", f"{here}/d/moved", "ok"),
        ("link", f"{here}/d/moved", f"{here}/hard", "ok"),
        ("symlink", f"{here}/d/moved", f"{here}/soft", "ok"),
        ("readdir", f"{here}/", None, "ok"),
        ("statvfs", str(here), None, "ok"),
        ("remove", f"{here}/hard", None, "ok"),
        ("remove", f"{here}/soft", None, "ok"),
        ("rmdir", f"{here}/d", None, "failure"),
        ("remove", f"{here}/d/moved", None, "ok"),
        ("rmdir", f"{here}/d", None, "ok"),
        ("remove", "/proc/version", None, "permission-denied"),
        ("write", f"{here}/two words", None, "ok"),
    ]
    assert [(each["bytes"], each["complete"]) for each in found[:4]] == [
        (1_234_567, True),
        (0, True),
        (1_234_567, True),
        (0, True),
    ]
    assert found[5]["attributes"] == dict.fromkeys(("size", "uid", "gid", "accessed", "modified")) | {"mode": 0o640}
    assert found[9]["entries"] == 6  # four files, and . and ..
    offsets = [each["offset"] for each in found]
    assert offsets == sorted(offsets, key=float)  # type: ignore[arg-type] # they are numbers


def test_missing_files_and_what_was_asked_about_them(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    watch = gateway.watch()
    assert sftp(client, f"get {tmp_path}/none {tmp_path}/x").returncode != 0
    config = str(gateway.folder / "tachograph.toml")
    arguments = ["files", watch.tape().session, "--config", config]
    lines = CliRunner().invoke(tacho, arguments).stdout.splitlines()
    assert any(line.split()[2:] == ["not", "found", "lstat", f"{tmp_path}/none"] for line in lines)


def test_scp_over_sftp(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    sizes = {"one": 70_000, "deep/two": 1, "deep/thr\u00e9e": 300_001}
    for name, size in sizes.items():
        (tree / name).write_bytes(os.urandom(size))
    watch = gateway.watch()
    for source, target in (
        (str(tree), f"web1@{HOST}:{tmp_path}/up"),
        (f"web1@{HOST}:{tmp_path}/up", f"{tmp_path}/down"),
    ):
        done = client.run(client.command("scp", "-s", "-r", "-p", source, target))
        assert done.returncode == 0, done.stderr
    upload, download = (moved(listed(gateway, tape.session)) for tape in watch.tapes(2))
    assert upload == {f"{tmp_path}/up/{name}": ("write", size, True) for name, size in sizes.items()}
    assert download == {f"{tmp_path}/up/{name}": ("read", size, True) for name, size in sizes.items()}


def test_a_server_that_is_run_by_its_path(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    server = next((path for path in _SERVERS if path.exists()), None)
    assert server is not None, "no sftp-server: apt-get install openssh-sftp-server"
    (tmp_path / "f").write_bytes(bytes(3_000_000))
    watch = gateway.watch()
    done = client.run(
        client.command("sftp", "-s", str(server), "-b", "-", f"web1@{HOST}"),
        b"put %b/f %b/g" % ((bytes(tmp_path),) * 2),
    )
    assert done.returncode == 0, done.stderr
    tape = watch.tape()
    assert moved(listed(gateway, tape.session)) == {f"{tmp_path}/g": ("write", 3_000_000, True)}
    assert tape.commands() == {1: bytes(server)}
    reader = SegmentReader(tape.paths[0])
    assert any(reader.resume(chunk) for chunk in reader.chunks)
    reader.close()


def test_the_old_scp(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    sizes = {"one": 70_000, "deep/two": 0, "deep/three": 300_001}
    for name, size in sizes.items():
        (tree / name).write_bytes(os.urandom(size))
    far = f"web1@{HOST}:{tmp_path}"
    watch = gateway.watch()

    def scp(*arguments: str) -> int:
        return client.run(client.command("scp", "-O", *arguments)).returncode

    assert scp("-r", "-p", str(tree), f"{far}/up") == 0
    assert scp("-r", f"{far}/up", f"{tmp_path}/down") == 0
    assert scp(f"{far}/none", f"{tmp_path}/x") == 1
    assert scp(f"{tree}/one", f"{far}/no/such/folder") == 1
    up, down, none, nowhere = (listed(gateway, tape.session, "inferred") for tape in watch.tapes(4))
    assert moved(up) == {f"{tmp_path}/up/{name}": ("write", size, True) for name, size in sizes.items()}
    assert moved(down) == {f"{tmp_path}/up/{name}": ("read", size, True) for name, size in sizes.items()}
    assert [brief(each) for each in up if each["operation"] == "mkdir"] == [
        ("mkdir", f"{tmp_path}/up", "tree", "ok"),
        ("mkdir", f"{tmp_path}/up/deep", None, "ok"),
    ]
    assert [brief(each) for each in none] == [("read", f"{tmp_path}/none", None, "failure")]
    assert [brief(each) for each in nowhere] == [("write", f"{tmp_path}/no/such/folder", "one", "failure")]


def test_fifty_megabytes_each_way_and_the_tape_says_where_packets_end(
    client: Client, gateway: Gateway, tmp_path: Path
) -> None:
    size = 50_000_003
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    watch = gateway.watch()
    done = sftp(client, f"put {tmp_path}/large {tmp_path}/up", f"get {tmp_path}/up {tmp_path}/back")
    assert done.returncode == 0, done.stderr
    session = watch.tape().session
    assert [(each["operation"], each["bytes"], each["complete"]) for each in listed(gateway, session)] == [
        ("write", size, True),
        ("read", size, True),
    ]
    folder = store.folder_of(gateway.tapes, session)
    with recording.open(str(folder / "0.tape")) as opened:
        tracemalloc.start()
        assert len(list(files(opened))) >= 2
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8_000_000
    reader = SegmentReader(folder / "0.tape")
    resumes = [reader.resume(chunk) for chunk in reader.chunks]
    reader.close()
    assert {(stream, side) for resume in resumes for stream, side, _ in resume} == {(1, 0), (1, 1)}
    assert all(left < 300_000 for resume in resumes for *_, left in resume)


def test_many_requests_in_parallel(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    contents = {f"{tmp_path}/f{number}": os.urandom(50_000 * number + number) for number in range(12)}
    watch = gateway.watch()

    async def work() -> None:
        async with client.connect() as connection, connection.start_sftp_client() as sftp:

            async def write(path: str, data: bytes) -> None:
                async with sftp.open(path, "wb") as file:
                    await file.write(data)

            async def read(path: str, data: bytes) -> None:
                async with sftp.open(path, "rb") as file:
                    half = len(data) // 2
                    parts: tuple[object, ...] = await asyncio.gather(file.read(-1, half), file.read(half, 0))
                    assert list(parts) == [data[half:], data[:half]]

            await asyncio.gather(*(write(*each) for each in contents.items()))
            await asyncio.gather(*(read(*each) for each in contents.items()))

    run(work())
    found = listed(gateway, watch.tape().session)
    written = {each["path"]: each["bytes"] for each in found if each["operation"] == "write"}
    assert written == {path: len(data) for path, data in contents.items()}
    read = {each["path"]: each["bytes"] for each in found if each["operation"] == "read"}
    assert read == {path: len(data) for path, data in contents.items()}
    assert all(each["complete"] for each in found if each["operation"] == "write")


def test_packets_that_lie_are_carried_and_named(client: Client, gateway: Gateway) -> None:
    """The target's server ends the channel over it; the recording says where."""
    init = bytes.fromhex("00000005 01 00000003")
    lie = bytes.fromhex("00000009 0d 00000001 0000ffff")  # a path of 65,535 bytes in a packet of 9
    watch = gateway.watch()
    client.ssh("-s", f"web1@{HOST}", "sftp", stdin=init + lie)
    config = str(gateway.folder / "tachograph.toml")
    result = CliRunner().invoke(tacho, ["files", watch.tape().session, "--json", "--config", config])
    assert result.exit_code == 0
    assert "from the agent, byte 9: a request of type 13: a value of 65,535 bytes" in result.stderr
