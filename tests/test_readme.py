"""The README followed word for word: its blocks are run as they stand, with only addresses, ports and keys replaced."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.client import HOST, Client
from tests.servers.gateway import ROOT, Gateway
from tests.servers.process import LIMIT_S, environment
from tests.servers.site import Site
from tests.servers.sshd import LOGIN, public

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ELSEWHERE = ("scripts/demo", "scripts/test", "scripts/bench", "scripts/lock", "tacho play", "tacho gateway")


def _blocks(language: str) -> list[str]:
    return [text for name, text in _BLOCK.findall((ROOT / "README.md").read_text()) if name == language]


def _commands() -> list[str]:
    lines = (line.partition("  #")[0].strip() for block in _blocks("sh") for line in block.splitlines())
    return [line.removeprefix(".venv/bin/") for line in lines if line]


def _configuration(site: Site, written: str) -> str:
    """The configuration that `init` wrote with the README's block, made to fit this machine."""
    (block,) = _blocks("toml")
    keys = iter((site.sshd.host_key, public(site.key)))
    block = re.sub(r'"ssh-ed25519 AAAA…"', lambda _: f'"{next(keys)}"', block)
    block = block.replace("10.0.0.5:22", site.sshd.address).replace('"deploy"', f'"{LOGIN}"')
    return written.replace("127.0.0.1:2222", "127.0.0.1:0") + block


def _tacho(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    env = environment(PYTHONPATH=str(ROOT), TACHO_CONFIG="flight/tachograph.toml")
    command = [sys.executable, "-m", "replay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, timeout=LIMIT_S)


@pytest.mark.service
def test_the_readme_leads_a_stranger_to_a_recorded_session(site: Site, tmp_path: Path) -> None:
    commands = _commands()
    assert commands.count("tacho init flight") == 1
    first = _tacho(["init", "flight"], tmp_path)
    assert first.returncode == 0, first.stderr
    flight = tmp_path / "flight"
    toml = flight / "tachograph.toml"
    toml.write_text(_configuration(site, toml.read_text()))
    with (site.sshd.folder / "authorized_keys").open("a") as authorized:
        authorized.write((flight / "var/keys/upstream.pub").read_text())
    gateway = Gateway(flight)
    try:
        watch = gateway.watch()
        client = Client(tmp_path / "client", gateway.port, public(flight / "var/keys/ssh_host"), site.key, "web1")
        ssh = [shlex.split(line)[1:] for line in commands if line.startswith("ssh ")]
        for arguments in ssh:
            here = [part.replace("deploy@", f"{LOGIN}@").replace("2222", str(gateway.port)) for part in arguments]
            reply = client.ssh(*here)
            assert reply.returncode in (0, 127), reply.stderr
        watch.tapes(len(ssh))
        for line in commands:
            if line.startswith("tacho ") and not line.startswith((*_ELSEWHERE, "tacho init")):
                done = _tacho(shlex.split(line)[1:], tmp_path)
                assert done.returncode == 0, f"{line}: {done.stderr}"
                without = "-o" in line or (line.startswith("tacho files") and "no file operation" in done.stderr)
                assert done.stdout or without, line
        assert (tmp_path / "session.cast").stat().st_size > 0
        shown = _tacho(["show", "4711"], tmp_path).stdout
        assert "./deploy.sh" in shown
        assert "for ana (asserted)" in shown
        moved = client.run(client.command("sftp", "-b", "-", f"web1@{HOST}"), f"put {toml} {tmp_path}/copy".encode())
        assert moved.returncode == 0, moved.stderr
        watch.tapes(len(ssh) + 1)
        assert f"write {tmp_path}/copy" in _tacho(["files", "latest"], tmp_path).stdout
    finally:
        assert gateway.stop() == 0
    gateway.assert_sound()


def test_every_command_of_the_readme_is_run_somewhere() -> None:
    known = ("tacho ", "ssh ", "export TACHO_CONFIG=", *_ELSEWHERE)
    strange = [line for line in _commands() if not line.startswith(known)]
    assert not strange


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
