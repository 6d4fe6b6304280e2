"""The doctor on the gateway's keys and its credentials for targets: the mend for each; no secret is shown."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.recorder.gateway.doctor.set_up import MY_UID, Folder, Report, doctor, fingerprint, follow
from tests.servers.fixtures import NewGateway
from tests.servers.site import Site
from tests.servers.sshd import LOGIN, public

pytestmark = pytest.mark.service


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Folder:
    return Folder(site, tmp_path / "flight")


def test_the_signing_key_is_gone(folder: Folder) -> None:
    flight = folder.make()
    key = flight / "var/keys/gateway"
    key.unlink()
    ((about, text),) = doctor(flight).wrong
    assert (about, text) == (
        "signing key",
        (
            f"the gateway's key {key} is not there: restore it from a backup, or make another with"
            f" `(umask 077; openssl genpkey -algorithm ed25519 > {key})`, and keep the old gateway.pub, which the tapes"
            " so far are verified by"
        ),
    )
    # The mend is followed, word for word; then the public half no longer fits, and that mend is followed too.
    key.with_name("gateway.pub").rename(key.with_name("old.pub"))
    follow(text)
    ((_, text),) = doctor(flight).wrong
    assert text.startswith(
        f"{key}.pub, by which tapes are verified, cannot be read (No such file or directory): run `echo "
    )
    follow(text)
    assert doctor(flight).wrong == []


def test_the_signing_key_is_another(folder: Folder) -> None:
    flight = folder.make()
    key = flight / "var/keys/gateway"
    shutil.copy(flight / "var/keys/ssh_host", key)
    ((_, text),) = doctor(flight).wrong
    assert text.startswith(f"the gateway's key {key} is no unencrypted PEM private key: restore it from a backup, or ")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True, capture_output=True)
    ((_, text),) = doctor(flight).wrong
    assert text.startswith(f"{key}.pub, by which tapes are verified, is another key's: run `echo 'gateway+")
    key.chmod(0o640)
    (_, text), _ = doctor(flight).wrong
    assert text == f"the gateway's key {key} may be read by others: run `chmod 600 {key}`"


def test_the_ssh_host_key_is_gone(folder: Folder) -> None:
    flight = folder.make()
    key = flight / "var/keys/ssh_host"
    key.unlink()
    key.with_name("ssh_host.pub").unlink()
    ((about, text),) = doctor(flight).wrong
    assert (about, text) == (
        "SSH host key",
        (
            f"the SSH host key {key} is not there: restore it from a backup, or make another with"
            f" `ssh-keygen -q -t ed25519 -N '' -f {key}`, and give its .pub to the agents' known_hosts"
        ),
    )
    follow(text)
    assert doctor(flight).wrong == []
    shutil.copy(flight / "var/keys/upstream.pub", f"{key}.pub")
    ((_, text),) = doctor(flight).wrong
    assert text == (
        f"{key}.pub, which agents' clients are given, is not its public half: run `ssh-keygen -y -f {key} > {key}.pub`"
    )
    follow(text)
    assert doctor(flight).wrong == []


def test_a_key_file_that_others_may_read(folder: Folder) -> None:
    flight = folder.make()
    key = flight / "var/keys/upstream"
    key.chmod(0o644)
    report = doctor(flight)
    ((about, text),) = report.wrong
    assert (about, text) == (
        "key of web1",
        f"the key of target web1 {key} may be read by others: run `chmod 600 {key}`",
    )
    assert not report.ok(f'target web1, login "{LOGIN}"')  # a session would not use it either
    follow(text)
    assert doctor(flight).wrong == []


def test_a_key_file_that_is_no_private_key(folder: Folder) -> None:
    flight = folder.make()
    key = flight / "var/keys/upstream"
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)], check=True, capture_output=True)
    ((_, text),) = doctor(flight).wrong
    assert text == (
        f"the key of target web1 is protected by a passphrase: run `ssh-keygen -p -N '' -f {key}`, or give the gateway"
        " a key without one"
    )
    key.write_bytes(Path(f"{key}.pub").read_bytes())
    ((_, text),) = doctor(flight).wrong
    assert text == (
        f"what {key} holds for target web1 is no SSH private key: put one there (`ssh-keygen -t ed25519` makes it; not"
        " its .pub)"
    )
    key.unlink()
    os.mkfifo(key, 0o600)
    ((_, text),) = doctor(flight).wrong
    assert text.startswith(
        f"the key of target web1 {key} is no file: restore it, or make one with `ssh-keygen -q -t ed25519 "
    )


def test_a_key_in_a_variable(folder: Folder) -> None:
    flight = folder.make(folder.web(key="env:WEB1_KEY"))
    ((about, text),) = doctor(flight).wrong
    assert (about, text) == (
        "key of web1",
        (
            'the variable WEB1_KEY, which holds the key of target web1, is not set: export "WEB1_KEY" where'
            f" `tacho gateway --config {folder.config}` is run, and here for this check"
        ),
    )
    report = doctor(flight, environ={"WEB1_KEY": (flight / "var/keys/upstream").read_text()})
    assert (report.status, report.wrong) == (0, [])
    upstream = fingerprint(folder.site.install.upstream)
    assert report.ok("key of web1") == [f'the variable "WEB1_KEY" holds {upstream}']


def test_a_variable_that_the_gateway_has_and_this_shell_has_not(folder: Folder, new_gateway: NewGateway) -> None:
    entry = folder.web(name="web-env", key="env:WEB1_KEY")
    gateway = new_gateway(
        entry, environ={"WEB1_KEY": folder.site.install.folder.joinpath("var/keys/upstream").read_text()}
    )
    report = doctor(gateway.folder, live=True)
    assert report.ok(f'target web-env, login "{LOGIN}"') == ["it lets the gateway in"]


def test_a_key_by_a_command(folder: Folder) -> None:
    flight = folder.make()
    key = flight / "var/keys/upstream"
    written = folder.config.read_text()

    def command(*parts: str) -> Report:
        folder.config.write_text(written.replace('key = "file:var/keys/upstream"', f"key = {json.dumps(parts)}"))
        return doctor(flight)

    report = command("cat", str(key))
    assert (report.status, report.wrong) == (0, [])
    assert report.ok("key of web1") == [f'the command "cat" was run and gave {fingerprint(public(key))}']
    assert command("sh", "-c", "echo hunter2; exit 3").wrong == [
        (
            "key of web1",
            (
                'the command for the key of target web1 failed with status 3: run "sh" with its arguments as uid'
                f" {MY_UID} to see why, or correct key in the [[target]]"
            ),
        )
    ]
