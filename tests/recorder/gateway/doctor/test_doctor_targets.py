"""The doctor on targets: unreachable, strange, unwelcoming, silent ones, and the mend for each."""

import re
import socket
import subprocess
from pathlib import Path

import pytest

from recorder.gateway.doctor import targets as doctor_targets
from tests.recorder.gateway.doctor.set_up import Folder, doctor, fingerprint
from tests.servers.site import Site
from tests.servers.sshd import LOGIN, public

pytestmark = pytest.mark.service


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Folder:
    return Folder(site, tmp_path / "flight")


def test_a_host_key_that_is_not_the_configured_one(folder: Folder) -> None:
    configured, real = public(folder.site.stranger), folder.site.sshd.host_key
    report = doctor(folder.make(folder.web(host_key=configured)))
    assert report.status == 5
    address = folder.site.sshd.address
    assert report.wrong == [
        (
            "target web1",
            (
                f"the host key of target web1 ({address}) is not the configured one: somebody may stand in between;"
                f" compare {fingerprint(real)} with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the server"
                f' itself, and only if it is the same set host_key = "{real}"'
            ),
        )
    ]


def test_a_host_key_of_another_type(folder: Folder, tmp_path: Path) -> None:
    rsa = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(rsa)], check=True)
    ((_, text),) = doctor(folder.make(folder.web(host_key=public(rsa)))).wrong
    assert f'only if it is the same set host_key = "{folder.site.sshd.host_key}"' in text


def test_a_host_key_that_is_none(folder: Folder) -> None:
    ((about, text),) = doctor(folder.make(folder.web(host_key="ssh-ed25519 AAAA"))).wrong
    assert (about, text) == (
        "target web1",
        (
            f"its host_key is no public key in OpenSSH form: run `ssh-keyscan -t ed25519 -p {folder.site.sshd.port}"
            " 127.0.0.1`, compare on the server, and write TYPE BASE64 of it"
        ),
    )


def test_known_hosts(folder: Folder) -> None:
    flight = folder.make()
    known = flight / "known_hosts"
    folder.config.write_text(re.sub(r'host_key = ".*"', 'known_hosts = "known_hosts"', folder.config.read_text()))
    port, real = folder.site.sshd.port, folder.site.sshd.host_key
    ((_, text),) = doctor(flight).wrong
    assert text == (
        f"its known_hosts file {known} cannot be read: No such file or directory; make it with"
        f" `ssh-keyscan -t ed25519 -p {port} 127.0.0.1`"
    )
    known.write_text("")
    ((_, text),) = doctor(flight).wrong
    assert text.startswith(f"{known} has no key of target web1 (127.0.0.1:{port}): compare {fingerprint(real)} with ")
    assert text.endswith(f'and only if it is the same append "[127.0.0.1]:{port} {real}" to {known}')
    known.write_text(f"[127.0.0.1]:{port} {real}\n")
    assert doctor(flight).wrong == []


def test_a_target_that_is_down(folder: Folder) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        ((about, text),) = doctor(folder.make(folder.web(address=address))).wrong
    assert about == "target web1"
    assert text.startswith(f"cannot reach target web1 ({address}): ")
    assert text.endswith("; see whether it is up and the address is right")


def test_a_target_without_an_address(folder: Folder) -> None:
    ((_, text),) = doctor(folder.make(folder.web(address="web1.invalid:22"))).wrong
    assert text.startswith("cannot reach target web1 (web1.invalid:22): ")


def test_a_target_whose_host_is_no_name(folder: Folder) -> None:
    flight = folder.make(folder.web(), folder.web(name="web2", address="web..2:22"))
    assert doctor(flight).wrong == [
        (
            "target web2",
            "cannot reach target web2 (web..2:22): its host is no name; correct its address in the configuration",
        )
    ]


def test_a_target_that_is_silent_holds_nobody_up(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_targets, "_LOOK_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        report = doctor(folder.make(folder.web(), folder.web(name="web2", address=address)))
    assert report.wrong == [
        (
            "target web2",
            (
                f"target web2 ({address}) did not let the gateway in within 0.3 s, it did not say that it speaks SSH:"
                " see whether it is up"
            ),
        )
    ]
    assert report.ok(f'target web1, login "{LOGIN}"') == ["it lets the gateway in"]


def test_what_takes_too_long_is_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_targets, "_ALL_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        report = doctor(folder.make(folder.web(address=f"127.0.0.1:{silent.getsockname()[1]}")))
    mend = "mend what is wrong with the others, and run `tacho doctor` again"
    assert ("target web1", f"it was not looked at to the end within 0 s: {mend}") in report.warned


def test_a_key_that_the_target_does_not_accept(folder: Folder) -> None:
    flight = folder.make(folder.web(key=f"file:{folder.site.stranger}"))
    ((about, text),) = doctor(flight).wrong
    assert (about, text) == (f'target web1, login "{LOGIN}"', not_accepted(folder, LOGIN, public(folder.site.stranger)))


def test_a_login_that_the_target_has_not(folder: Folder) -> None:
    report = doctor(folder.make(folder.web(logins=(LOGIN, "no-such-login"))))
    upstream = folder.site.install.upstream
    assert report.wrong == [('target web1, login "no-such-login"', not_accepted(folder, "no-such-login", upstream))]
    assert report.ok(f'target web1, login "{LOGIN}"') == ["it lets the gateway in"]


def not_accepted(folder: Folder, login: str, key: str) -> str:
    return (
        f'target web1 ({folder.site.sshd.address}) does not accept the gateway\'s key for login "{login}": put the'
        f" gateway's public key into its authorized_keys, which `echo '{key}' >> ~/.ssh/authorized_keys` does when that"
        " account runs it on the server; an account that is not there looks the same from here"
    )
