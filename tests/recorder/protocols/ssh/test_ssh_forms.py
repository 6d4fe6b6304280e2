"""How agents name their targets; several sessions; what the catalogue and the open frame say of each."""

from pathlib import Path

import pytest

from recorder.format.frame import Kind
from recorder.model import Source, State
from tests.servers.client import HOST, Client
from tests.servers.gateway import Gateway
from tests.servers.site import AGENT, Site
from tests.servers.sshd import LOGIN

pytestmark = pytest.mark.service


@pytest.mark.parametrize("user", ["web1", f"{LOGIN}@web1", "web2", f"{LOGIN}@web2"])
def test_user_name_leads_to_target_and_login(client: Client, gateway: Gateway, user: str) -> None:
    watch = gateway.watch()
    done = client.ssh(f"{user}@{HOST}", "id -un; echo $MARK")
    assert (done.returncode, done.stdout) == (0, f"{LOGIN}\ntarget\n".encode())
    opened = watch.tape().opened
    assert (opened["target"], opened["login"], opened["user"]) == (user.rpartition("@")[2], LOGIN, user)


@pytest.mark.parametrize("user", [LOGIN, "web1", f"{LOGIN}@web1"])
def test_port_of_a_target_takes_the_user_name_as_login(site: Site, gateway: Gateway, tmp_path: Path, user: str) -> None:
    watch = gateway.watch()
    done = site.client(tmp_path / "fixed", gateway, user, gateway.ports[1]).exec("echo $MARK")
    assert (done.returncode, done.stdout) == (0, b"target\n")
    opened = watch.tape().opened
    assert (opened["target"], opened["login"], opened["user"]) == ("web1", LOGIN, user)


def test_port_of_a_target_refuses_the_name_of_another(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    done = site.client(tmp_path / "fixed", gateway, "web2", gateway.ports[1]).ssh(f"{LOGIN}@web2@{HOST}", "true")
    assert done.returncode == 255
    assert b"this port leads to web1, not to web2" in done.stderr


def test_row_and_open_frame_say_who(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    client.exec("cat; printf err >&2", stdin=b"input")
    tape = watch.tape()
    row = gateway.row_when(tape.session, lambda row: row.state is State.CLOSED)
    assert tape.opened["agent"] == row.attribution.agent == AGENT
    assert row.attribution.sources["agent"] is Source.VERIFIED
    assert tape.opened["client"] == row.attribution.client
    assert (row.bytes_in, row.bytes_out) == (5, 8)
    assert (tape.ended["bytes_in"], tape.ended["bytes_out"]) == (5, 8)
    assert row.verdicts == {"allowed": 1}
    assert row.size == sum(path.stat().st_size for path in tape.paths)
    assert row.reason == tape.ended["reason"] == "the agent disconnected"


def test_shell_without_command(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.ssh("-T", f"web1@{HOST}", stdin=b"echo a; echo b >&2; exit 7\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"a\n", b"b\n")
    tape = watch.tape()
    assert tape.noted("shell") == [{}]
    assert tape.crossed(Kind.IN) == b"echo a; echo b >&2; exit 7\n"


def test_shell_on_a_terminal(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.ssh("-tt", f"web1@{HOST}", stdin=b"PS1=; tty; exit 5\n")
    assert done.returncode == 5
    assert b"/dev/pts/" in done.stdout
    tape = watch.tape()
    assert tape.crossed(Kind.OUT) == done.stdout
    assert tape.crossed(Kind.IN) == b"PS1=; tty; exit 5\n"
    assert len(tape.noted("pty")) == 1
