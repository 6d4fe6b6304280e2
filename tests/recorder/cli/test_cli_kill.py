"""`tacho kill`: which session is meant, what its agent hears, what is left on tape and catalogue, exit codes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.control_client import ask
from recorder.format.frame import Kind
from recorder.model import State
from recorder.rights import account
from tests.servers.client import HOST, Client, Running
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import ROOT, Gateway
from tests.servers.other_user import STRANGER, needs_root, tacho_as
from tests.servers.process import LIMIT_S, environment
from tests.servers.site import Site
from tests.servers.tapes import Taped, until

pytestmark = pytest.mark.service

ME = account(os.geteuid())


def kill(gateway: Gateway, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "recorder",
        "kill",
        *arguments,
        "--config",
        str(gateway.folder / "tachograph.toml"),
    ]
    env = environment(PYTHONPATH=str(ROOT))
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=LIMIT_S)


@contextmanager
def session(client: Client, gateway: Gateway, **env: str) -> Iterator[tuple[Running, str]]:
    """A session whose command has begun; its id."""
    watch = gateway.watch()
    options = [f"-oSetEnv={' '.join(f'{name}={value}' for name, value in env.items())}"] if env else []
    with client.start(*options, f"{client.user}@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        yield ssh, watch.begun()[0]


def assert_killed(ssh: Running, gateway: Gateway, name: str, reason: str, told: str | None = None) -> None:
    _, said = ssh.communicate(timeout=LIMIT_S)
    assert ssh.returncode == 255
    assert (told or f"{reason} (session {name})").encode() in said
    row = gateway.row_when(name, lambda row: row.state is State.CLOSED)
    assert row.reason == reason
    tape = Taped(gateway.tapes, name)
    assert tape.ended["reason"] == reason
    assert tape.crossed(Kind.OUT) == b"up\n"


@pytest.mark.parametrize("part", [slice(None), slice(-8, None), slice(0, 20)], ids=["id", "end", "beginning"])
def test_a_session_is_ended_by_its_id_or_a_part_of_it(gateway: Gateway, client: Client, part: slice) -> None:
    with session(client, gateway) as (ssh, name):
        done = kill(gateway, name[part].upper())
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "")
        assert_killed(ssh, gateway, name, f"killed by {ME}")


def test_the_reason_is_told_and_harmless(gateway: Gateway, client: Client) -> None:
    with session(client, gateway) as (ssh, name):
        assert kill(gateway, name, "--why", "it deletes things\x1b[2J").returncode == 0
        assert_killed(ssh, gateway, name, f"killed by {ME}: it deletes things\\e[2J", told="it deletes things")


def test_the_latest(gateway: Gateway, client: Client) -> None:
    with session(client, gateway) as (first, one):
        with session(client, gateway) as (ssh, name):
            assert kill(gateway, "latest").stdout == f"{name}\n"
            assert_killed(ssh, gateway, name, f"killed by {ME}")
        # The latest session is still that one: the one before it is not meant.
        done = kill(gateway, "-")
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == f"tacho: session {name} is not live: it has ended already\n"
        assert first.poll() is None
        assert kill(gateway, one).returncode == 0


def test_a_run_is_ended_with_all_its_sessions(gateway: Gateway, client: Client) -> None:
    with (
        session(client, gateway, TACHO_RUN="run-to-kill") as (first, one),
        session(client, gateway, TACHO_RUN="run-to-kill") as (second, two),
        session(client, gateway, TACHO_RUN="run-to-keep") as (third, other),
    ):
        done = kill(gateway, "--run", "run-to-kill")
        assert (done.returncode, sorted(done.stdout.split())) == (0, sorted([one, two]))
        assert_killed(first, gateway, one, f"killed by {ME}")
        assert_killed(second, gateway, two, f"killed by {ME}")
        assert third.poll() is None
        again = kill(gateway, "--run", "run-to-kill")
        assert (again.returncode, again.stderr) == (
            3,
            'tacho: run "run-to-kill": none of its sessions is live\n',
        )
        assert kill(gateway, "--run", "run-to-k").returncode == 3
        assert kill(gateway, other).returncode == 0


def test_what_is_not_meant_clearly_is_not_ended(gateway: Gateway, client: Client) -> None:
    with session(client, gateway) as (first, one), session(client, gateway) as (second, two):
        shared = one[: next(number for number in range(36) if one[number] != two[number])]
        done = kill(gateway, shared)
        assert (done.returncode, done.stdout) == (3, "")
        assert f"means more than one live session, name one of them: {one[-8:]}, {two[-8:]}" in done.stderr
        unknown = kill(gateway, "fff\x1bfff")
        assert (unknown.returncode, unknown.stdout) == (3, "")
        assert unknown.stderr == 'tacho: no session begins or ends with "fff\\efff": see `tacho ls`\n'
        assert first.poll() is None
        assert second.poll() is None
        assert kill(gateway, one).returncode == kill(gateway, two).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("x", "--run", "y")])
def test_it_needs_one_name(gateway: Gateway, arguments: tuple[str, ...]) -> None:
    done = kill(gateway, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "name one session by its ID, or a run with --run" in done.stderr


def test_a_session_ends_within_a_second_though_its_agent_does_not_read(gateway: Gateway, client: Client) -> None:
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "cat /dev/zero") as ssh:
        (name,) = watch.begun()
        until(lambda: _grown(gateway, name), "a full pipe")
        begun = time.time_ns()
        assert ask(gateway.data / "run/control.sock", "kill", id=name) == {"ended": [name]}
        row = gateway.row_when(name, lambda row: row.state is State.CLOSED)
        assert row.reason == f"killed by {ME}"
        assert row.ended is not None
        assert row.ended - begun < 1e9
        ssh.kill()


def _grown(gateway: Gateway, name: str) -> bool | None:
    sizes = [path.stat().st_size for path in gateway.tapes.rglob(f"{name}/*.tape")]
    return True if sum(sizes) > 4096 else None


def test_without_a_gateway(new_gateway: NewGateway) -> None:
    gateway = new_gateway()
    gateway.stop()
    done = kill(gateway, "latest")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tacho: no gateway runs on {gateway.data}: no session of it is live\n"


@needs_root
def test_others_are_refused_with_exit_6(site: Site, common_path: Path) -> None:
    persons = '[[person]]\nname = "ana"\nos_user = "daemon"\nmay = ["read"]\n'
    persons += '[[person]]\nname = "bo"\nos_user = "bin"\nmay = ["admin"]\n'
    persons += '[[agent]]\nname = "worker"\nos_user = "mail"\n'
    gateway = site.start(common_path / "g", extra=persons)
    try:
        config = str(gateway.folder / "tachograph.toml")
        with session(site.client(common_path / "c", gateway), gateway) as (ssh, name):
            for uid, why in (
                (1, "ana has not the right admin: "),
                (8, "uid 8 is the os_user of agent worker, and an agent is no person: "),
                (STRANGER, f"uid {STRANGER} is no person here: "),
            ):
                done = tacho_as(uid, "kill", name, "--config", config)
                assert (done.returncode, done.stdout) == (6, ""), done.stderr
                assert done.stderr.startswith(f"tacho: {why}")
                assert len(done.stderr.splitlines()) == 1
            assert ssh.poll() is None
            done = tacho_as(2, "kill", name, "--config", config)
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "")
            assert_killed(ssh, gateway, name, "killed by bo")
    finally:
        assert gateway.stop() == 0
    gateway.assert_sound()
