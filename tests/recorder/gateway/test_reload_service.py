"""SIGHUP on a running gateway: all of the new configuration, or none of it, and the log says which."""

import signal
import socket
from pathlib import Path

import pytest

from tests.servers.client import HOST, echo
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway
from tests.servers.site import Site
from tests.servers.sshd import public

pytestmark = pytest.mark.service


def rewrite(gateway: Gateway, old: str, new: str) -> None:
    """Changes the configuration file and sends SIGHUP."""
    path = gateway.folder / "tachograph.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    gateway.server.send(signal.SIGHUP)


def test_an_agent_that_is_added_gets_in_at_once(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    alone = client.folder / "alone"
    alone.write_text(client.config.read_text().replace(str(site.key), str(site.stranger)))
    command = ["ssh", "-F", str(alone), f"web1@{HOST}", "echo in"]
    watch = gateway.watch()
    assert client.run(command).returncode == 255
    stranger = f'[[agent]]\nname = "late"\nkeys = ["{public(site.stranger)}"]\ntargets = ["web1"]\n'
    rewrite(gateway, '[[agent]]\nname = "spare"', f'{stranger}[[agent]]\nname = "spare"')
    assert "agent late added" in watch.log("reloaded ")
    done = client.run(command)
    assert (done.returncode, done.stdout) == (0, b"in\n")


def test_an_agent_that_is_taken_out_is_out_at_once_and_others_go_on(
    site: Site, new_gateway: NewGateway, tmp_path: Path
) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "cat") as barred, client.start(f"web2@{HOST}", "cat") as other:
        for ssh in (barred, other):
            echo(ssh, b"x\n")
        rewrite(gateway, 'targets = ["web*"]', 'targets = ["web2"]')
        assert barred.wait(20) == 255
        assert barred.stderr is not None
        assert b"agent ci may not reach web1 any more" in barred.stderr.read()
        output, _ = other.communicate(b"still\n", timeout=20)
        assert output == b"still\n"
    assert "agent ci changed (targets)" in watch.log("reloaded ")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('name = "web1"', 'nam = "web1"', "unknown key 'nam'"),
        ("[gateway]", "[gateway", "not valid TOML"),
        ('data = "var"', 'data = "elsewhere"', "[gateway] data cannot change while the gateway runs: restart it"),
        ('keys = ["ssh-ed25519 ', 'keys = ["ssh-ed25519 !', "not base64"),
    ],
)
def test_a_broken_file_changes_nothing(
    site: Site, new_gateway: NewGateway, tmp_path: Path, old: str, new: str, why: str
) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    rewrite(gateway, old, new)
    said = watch.log("not reloaded, the old configuration stays: ")
    assert why in said
    assert client.exec("echo as before").stdout == b"as before\n"


def test_listeners_come_and_go_together_or_not_at_all(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = f'[[listen]]\nprotocol = "ssh"\naddress = "127.0.0.1:{taken.getsockname()[1]}"\n'
        rewrite(gateway, '[[target]]\nname = "web1"', f'{busy}[[target]]\nname = "web1"')
        assert "cannot listen on" in watch.log("not reloaded")
        assert client.exec("echo as before").stdout == b"as before\n"
    with client.start(f"web1@{HOST}", "cat") as ssh:
        echo(ssh, b"x\n")
        gateway.server.send(signal.SIGHUP)  # now the port is free
        watch.log("reloaded .*: listen .* added")
        ready = gateway.server.lines(r"^ready ssh \S+:(?P<port>\d+)$", 2)
        late = site.client(tmp_path / "late", gateway, port=int(ready[1]["port"]))
        assert late.exec("echo late").stdout == b"late\n"
        output, _ = ssh.communicate(b"y\n", timeout=20)
        assert output == b"y\n"


def test_limits_take_effect_without_a_restart(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway(extra='[limits]\nlogin = "60s"\n')
    watch = gateway.watch()
    rewrite(gateway, 'login = "60s"', 'login = "300ms"')
    watch.log("reloaded .*limits login changed")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as silent:
        received = b""
        while piece := silent.recv(4096):
            received += piece
        assert received.startswith(b"SSH-2.0-")


def test_a_reload_without_a_difference_says_so(site: Site, new_gateway: NewGateway) -> None:
    gateway = new_gateway()
    watch = gateway.watch()
    gateway.server.send(signal.SIGHUP)
    assert watch.log("reloaded ").endswith(": nothing changed")
