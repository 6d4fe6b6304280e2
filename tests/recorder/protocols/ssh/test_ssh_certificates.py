"""SSH user certificates, made by ssh-keygen and offered by ssh: whom they name, what they permit, which are refused."""

import random
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from recorder.model import Agent, Source
from recorder.protocol import Certificate, Refused
from recorder.protocols.ssh.serve.certificate import Grants, examine, is_certificate
from replay import recording
from tests.servers.client import HOST, Client, Done, run
from tests.servers.gateway import Gateway, TargetEntry, Watch, refusal_to_start
from tests.servers.site import Site
from tests.servers.sshd import Sshd, new_key, public

_AGENT = "ci-deploy"
_FORCED = "echo forced [$SSH_ORIGINAL_COMMAND]; exit 3"


def _authority_key(path: Path, *kind: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", *kind, "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


@dataclass(frozen=True, slots=True)
class Office:
    """Authorities, a key that is no agent's, and a gateway that knows the authorities."""

    site: Site
    folder: Path
    gateway: Gateway
    key: Path

    def sign(
        self, name: str, *options: str, ca: str = "ca", key_id: str = "ana@laptop", principals: str = _AGENT
    ) -> Path:
        """A certificate for the key; `options` are ssh-keygen's."""
        line = self.folder / f"{name}.pub"
        shutil.copy(f"{self.key}.pub", line)
        named = ("-n", principals) if principals else ()
        command = ["ssh-keygen", "-q", "-s", str(self.folder / ca), "-I", key_id, *named, *options, str(line)]
        subprocess.run(command, check=True, capture_output=True)
        return self.folder / f"{name}-cert.pub"

    def client(self, folder: Path, certificate: Path) -> Client:
        """A client that offers the certificate."""
        client = Client(folder, self.gateway.port, self.site.install.host_key, self.key, "web1")
        client.config.write_text(f"{client.config.read_text()}  CertificateFile {certificate}\n")
        return client


@pytest.fixture(scope="module")
def _started(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    for name in ("ca", "stranger"):
        _authority_key(folder / name, "-t", "ed25519")
    _authority_key(folder / "rsa", "-t", "rsa", "-b", "2048")
    extra = "".join(
        [
            *(f'[[agent]]\nname = "{name}"\ntargets = ["web*"]\n' for name in (_AGENT, "ci-other", "ana")),
            f'[[authority]]\nkey = "{public(folder / "ca")} the CA"\nagents = ["ci-*", "ci"]\n',
            f'[[authority]]\nkey = "{public(folder / "rsa")}"\nagents = ["ci-deploy"]\n',
        ]
    )
    with Sshd.start(folder / "sshd", [site.install.upstream], ["AcceptEnv SSH_ORIGINAL_COMMAND"]).server as server:
        port = int(re.findall(r"port (\d+)", server.text())[0])
        target = TargetEntry(
            "web-original", f"127.0.0.1:{port}", public(folder / "sshd/host"), forward=(site.sshd.address,)
        )
        gateway = site.start(folder / "gateway", target, extra=extra)
        yield Office(site, folder, gateway, new_key(folder / "user"))
        gateway.stop()
        gateway.assert_sound()


@pytest.fixture
def office(_started: Office) -> Office:
    return _started


@pytest.fixture
def watch(office: Office) -> Watch:
    return office.gateway.watch()


def _offer(office: Office, folder: Path, certificate: Path, user: str = "web1") -> Done:
    return office.client(folder, certificate).ssh(f"{user}@{HOST}", "echo [$USER]")


@pytest.mark.service
@pytest.mark.parametrize(
    ("user", "ca", "options"),
    [
        ("web1", "ca", ()),
        ("{login}@web1", "ca", ()),
        ("{login}@web1", "rsa", ("-t", "rsa-sha2-512")),
        ("web1", "rsa", ("-t", "rsa-sha2-256")),
    ],
)
def test_certificate_names_its_agent(
    office: Office, watch: Watch, tmp_path: Path, user: str, ca: str, options: tuple[str, ...]
) -> None:
    certificate = office.sign("good", "-z", "77", "-V", "20240102:20991231", *options, ca=ca)
    login = office.site.targets[0].logins[0]
    done = _offer(office, tmp_path / "c", certificate, user.format(login=login))
    assert done.returncode == 0, done.stderr
    tape = watch.tape()
    row = office.gateway.row_when(tape.session, lambda row: row.ended)
    who = row.attribution
    assert (who.agent, who.on_behalf_of, who.unattributed) == (_AGENT, "ana@laptop", False)
    assert who.sources["agent"] is who.sources["on_behalf_of"] is who.sources["credential"] is Source.VERIFIED
    listed = subprocess.run(["ssh-keygen", "-l", "-f", f"{office.key}.pub"], capture_output=True, text=True, check=True)
    assert who.credential == listed.stdout.split()[1]
    assert tape.opened["certificate"] == {
        "key_id": "ana@laptop",
        "serial": 77,
        "authority": _fingerprint(office.folder / ca),
        "principals": [_AGENT],
        "valid_from": 1704153600,
        "valid_until": 4102358400,
    }
    with recording.open(str(tape.paths[0])) as opened:
        assert opened.session.attribution == who


def _fingerprint(key: Path) -> str:
    command = ["ssh-keygen", "-l", "-f", f"{key}.pub"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]


@pytest.mark.service
def test_verified_person_is_not_overridden_by_an_asserted_one(office: Office, watch: Watch, tmp_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("for"))
    done = client.ssh("-o", "SetEnv=TACHO_FOR=mallory TACHO_RUN=run-1", f"web1@{HOST}", "true")
    assert done.returncode == 0, done.stderr
    tape = watch.tape()
    who = office.gateway.row_when(tape.session, lambda row: row.ended).attribution
    assert (who.on_behalf_of, who.run) == ("ana@laptop", "run-1")
    assert {"on_behalf_of": "mallory"} in tape.noted("asserted")  # said it was, and believed it was not
    with recording.open(str(tape.paths[0])) as opened:
        assert opened.session.attribution == who


@pytest.mark.service
def test_certificate_without_a_key_id_leaves_its_session_unattributed(
    office: Office, watch: Watch, tmp_path: Path
) -> None:
    assert _offer(office, tmp_path / "c", office.sign("nameless", key_id="")).returncode == 0
    who = office.gateway.row_when(watch.tape().session, lambda row: row.ended).attribution
    assert (who.agent, who.on_behalf_of, who.unattributed) == (_AGENT, None, True)


@pytest.mark.service
def test_of_several_principals_the_one_that_qualifies_counts(office: Office, watch: Watch, tmp_path: Path) -> None:
    # "ana" is an agent that the authority may not name, "nobody" is none.
    assert _offer(office, tmp_path / "c", office.sign("several", principals=f"nobody,ana,{_AGENT}")).returncode == 0
    assert watch.tape().opened["agent"] == _AGENT


@pytest.mark.service
def test_source_address_that_matches(office: Office, watch: Watch, tmp_path: Path) -> None:
    certificate = office.sign("here", "-O", "source-address=10.0.0.0/8,127.0.0.0/8")
    assert _offer(office, tmp_path / "c", certificate).returncode == 0
    watch.tape()


_BAD = {
    "expired": (("-V", "20200101:20200102"), {}, "it expired at 2020-01-02T00:00:00Z"),
    "not yet valid": (("-V", "20900101:20990101"), {}, "it is not valid before 2090-01-01T00:00:00Z, and now it is "),
    "no principal": ((), {"principals": ""}, "it has no principals and would so be anybody's"),
    "principal that is no agent": (
        (),
        {"principals": "web1,deploy"},
        'no agent has the name of one of its principals: "web1", "deploy"',
    ),
    "agent of others": ((), {"principals": "ana"}, 'its authority may not name "ana": add a pattern to the agents'),
    "two agents": (
        (),
        {"principals": "ci-other,ci-deploy"},
        'its principals name several agents, "ci-deploy", "ci-other": sign it for one of them',
    ),
    "from elsewhere": (
        ("-O", "source-address=10.0.0.0/8,192.168.1.0/24"),
        {},
        "it may be used from 10.0.0.0/8, 192.168.1.0/24, not from 127.0.0.1",
    ),
    "unknown option": (("-O", "critical:x@test.example=1"), {}, "Unrecognized critical option: x@test.example"),
    "unknown authority": ((), {"ca": "stranger"}, "its authority SHA256:.{43} is none of the gateway's"),
    "SHA-1": (("-t", "ssh-rsa"), {"ca": "rsa"}, "its authority signed it with SHA-1"),
    "escapes": (("-V", "20200101:20200102"), {"key_id": "\x1b[2J\n"}, r'certificate "\\e\[2J\\n" \(serial 0\)'),
}


@pytest.mark.service
@pytest.mark.parametrize("case", _BAD)
def test_bad_certificate_is_refused_and_the_log_says_why(
    office: Office, watch: Watch, tmp_path: Path, case: str
) -> None:
    options, more, why = _BAD[case]
    done = _offer(office, tmp_path / "c", office.sign("bad", *options, **more))
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr
    line = watch.log(rf"WARNING tacho\.ssh: agent 127\.0\.0\.1:\d+: .*{why}")
    assert line.isprintable()
    ended = watch.log(r"did not authenticate: ")
    assert 'user "web1": no agent has SHA256:' in ended
    assert "its certificate was refused" in ended
    assert not watch.gateway.server.found("session .* from ", watch.after)


@pytest.mark.service
def test_host_certificate_is_refused(office: Office, watch: Watch, tmp_path: Path) -> None:
    # ssh offers no such certificate.
    client = office.client(tmp_path / "c", office.sign("host", "-h"))

    async def talk() -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            async with client.connect(client_keys=[(str(office.key), str(office.folder / "host-cert.pub"))]):
                pass

    run(talk())
    watch.log(r'WARNING tacho\.ssh: agent \S+: certificate "ana@laptop" \(serial 0\) is refused: it is a host\'s; sign')


@pytest.mark.service
def test_agent_with_a_bad_certificate_and_a_good_key_gets_in_by_the_key(
    office: Office, watch: Watch, tmp_path: Path
) -> None:
    certificate = office.sign("old", "-V", "20200101:20200102")
    client = office.client(tmp_path / "c", certificate)
    done = client.ssh("-i", str(office.site.key), f"web1@{HOST}", "true")
    assert done.returncode == 0, done.stderr
    opened = watch.tape().opened
    assert opened["agent"] == "ci"
    assert "certificate" not in opened


@pytest.mark.service
def test_shared_connection_with_a_certificate(office: Office, watch: Watch, tmp_path: Path, short_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("shared"))
    control = ("-o", f"ControlPath={short_path}/control")
    with client.start(*control, "-M", f"web1@{HOST}", "echo up; cat") as master:
        assert master.stdout is not None
        assert master.stdout.readline() == b"up\n"
        for number in range(2):
            assert client.ssh(*control, f"web1@{HOST}", f"echo {number}").stdout == f"{number}\n".encode()
        master.communicate()
    tape = watch.tape()
    assert tape.opened["agent"] == _AGENT
    assert tape.commands() == {1: b"echo up; cat", 2: b"echo 0", 3: b"echo 1"}


# Forced commands


@pytest.mark.service
def test_forced_command_in_place_of_a_command(office: Office, watch: Watch, tmp_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("forced", "-O", f"force-command={_FORCED}"))
    done = client.ssh(f"web-original@{HOST}", "echo $HOME 'x'")
    assert (done.returncode, done.stdout) == (3, b"forced [echo $HOME 'x']\n")
    tape = watch.tape()
    assert tape.noted("asked") == [{"request": "exec", "text": b"echo $HOME 'x'"}]
    assert tape.noted("exec") == [{"command": _FORCED.encode(), "forced": True}]
    assert tape.noted("exit") == [{"status": 3}]
    (verdict,) = tape.verdicts()
    assert (verdict["operation"], verdict["effect"]) == ("exec", "allow")


@pytest.mark.service
def test_forced_command_where_the_target_takes_no_variable(office: Office, watch: Watch, tmp_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("forced2", "-O", f"force-command={_FORCED}"))
    done = client.ssh(f"web1@{HOST}", "id")
    assert (done.returncode, done.stdout) == (3, b"forced []\n")
    assert watch.tape().commands() == {1: _FORCED.encode()}


@pytest.mark.service
@pytest.mark.parametrize("terminal", ["-tt", "-T"])
def test_forced_command_in_place_of_a_shell(office: Office, watch: Watch, tmp_path: Path, terminal: str) -> None:
    client = office.client(tmp_path / "c", office.sign("forced3", "-O", f"force-command={_FORCED}"))
    done = client.ssh(terminal, f"web-original@{HOST}", stdin=b"echo typed\n")
    assert done.returncode == 3
    # A terminal echoes what is typed, before or after what the command says.
    assert done.stdout.replace(b"\r", b"").replace(b"echo typed\n", b"") == b"forced []\n"
    tape = watch.tape()
    assert tape.noted("asked") == [{"request": "shell", "text": b""}]
    assert tape.commands() == {1: _FORCED.encode()}
    assert tape.noted("shell") == []


@pytest.mark.service
def test_forced_command_in_place_of_sftp(office: Office, watch: Watch, tmp_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("forced4", "-O", "force-command=echo no sftp here"))
    done = client.run(client.command("sftp", "-b", "-", f"web1@{HOST}"), b"ls\n")
    assert done.returncode != 0
    tape = watch.tape()
    assert tape.noted("asked") == [{"request": "subsystem", "text": b"sftp"}]
    assert tape.commands() == {1: b"echo no sftp here"}
    assert tape.noted("subsystem") == []


@pytest.mark.service
def test_forced_internal_sftp_is_the_subsystem(office: Office, watch: Watch, tmp_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("forced5", "-O", "force-command=internal-sftp"))
    done = client.run(client.command("sftp", "-b", "-", f"web1@{HOST}"), b"pwd\n")
    assert done.returncode == 0, done.stderr
    assert b"Remote working directory: " in done.stdout
    assert watch.tape().noted("subsystem") == [{"subsystem": b"sftp", "forced": True}]


@pytest.mark.service
def test_long_asked_command_is_on_the_tape_whole(office: Office, watch: Watch, tmp_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("forced6", "-O", "force-command=echo short"))
    long = "echo " + "x" * 100_000
    assert client.ssh(f"web-original@{HOST}", long).stdout == b"short\n"
    pieces = watch.tape().noted("asked")
    assert b"".join(piece["text"] for piece in pieces if isinstance(piece["text"], bytes)) == long.encode()
    assert [piece.get("more", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]


# What a certificate permits


@pytest.mark.service
def test_terminal_that_the_certificate_does_not_permit(office: Office, watch: Watch, tmp_path: Path) -> None:
    client = office.client(tmp_path / "c", office.sign("plain", "-O", "no-pty"))
    done = client.ssh("-tt", f"web1@{HOST}", "tty")
    assert b"PTY allocation request failed" in done.stderr
    assert client.ssh(f"web1@{HOST}", "tty").stdout == b"not a tty\n"
    tape, _ = watch.tapes(2)
    assert tape.noted("refused") == [{"request": "pty-req", "why": "the certificate has no permit-pty"}]
    assert tape.noted("pty") == []


@pytest.mark.service
def test_forwarding_that_the_certificate_does_not_permit(office: Office, watch: Watch, tmp_path: Path) -> None:
    option = ("-W", office.site.sshd.address)
    permitted = office.client(tmp_path / "a", office.sign("a")).ssh(*option, f"web-original@{HOST}", stdin=b"quit\n")
    assert permitted.stdout.startswith(b"SSH-2.0-OpenSSH")
    plain = office.client(tmp_path / "b", office.sign("b", "-O", "no-port-forwarding"))
    refused = plain.ssh(*option, f"web-original@{HOST}")
    assert (refused.returncode, refused.stdout) == (255, b"")
    assert b"is refused: the certificate has no permit-port-forwarding" in refused.stderr
    _, tape = watch.tapes(2)
    assert tape.noted("refused") == [
        {"request": "direct-tcpip", "why": "the certificate has no permit-port-forwarding"}
    ]


# Configurations


@pytest.mark.service
def test_gateway_does_not_start_with_a_bad_authority(office: Office, tmp_path: Path) -> None:
    keys = [public(office.folder / "ca"), public(office.folder / "rsa")[:60]]
    extra = "".join(f'[[authority]]\nkey = "{key}"\nagents = ["ci"]\n' for key in keys)
    status, said = refusal_to_start(office.site.prepare(tmp_path / "gateway", extra=extra))
    assert status == 1
    assert "tachograph.toml: [[authority]] number 2: the key is cut off" in said
    assert len(said.splitlines()) == 1


# Without a gateway


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A certificate as it is offered."""
    folder = tmp_path_factory.mktemp("blob")
    for name in ("ca", "user"):
        new_key(folder / name)
    options = ["-O", "force-command=id", "-O", "source-address=127.0.0.1", "-O", "no-port-forwarding"]
    command = ["ssh-keygen", "-q", "-s", "ca", "-I", "x", "-n", "ci", *options, "user.pub"]
    subprocess.run(command, check=True, cwd=folder)
    return b64decode((folder / "user-cert.pub").read_text().split()[1])


def _ci(_certificate: Certificate) -> Agent:
    return Agent("ci")


def test_grants(blob: bytes) -> None:
    assert is_certificate(blob)
    proof = examine(blob, "127.0.0.1", _ci).proof
    assert proof.agent == Agent("ci")
    assert proof.grants == Grants(forced=b"id", pty=True, forward=False)
    assert proof.certificate is not None
    assert proof.certificate.valid_until is None


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "", "::ffff:10.0.0.1", "unknown"])
def test_other_addresses_are_refused(blob: bytes, address: str) -> None:
    with pytest.raises(Refused, match=r"it may be used from|the peer's is not known"):
        examine(blob, address, _ci)


@pytest.mark.parametrize("seed", range(4))
def test_altered_certificate_is_refused(blob: bytes, seed: int) -> None:
    source = random.Random(seed)
    for _ in range(250):
        altered = bytearray(blob)
        for _ in range(source.randint(1, 3)):
            altered[source.randrange(len(altered))] ^= 1 << source.randrange(8)
        cut = bytes(altered[: source.choice([len(altered), source.randrange(len(altered))])])
        if cut == blob:
            continue
        is_certificate(cut)
        with pytest.raises(Refused) as caught:
            examine(cut, "127.0.0.1", _ci)
        assert str(caught.value).isprintable()


def test_certificate_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(Refused, match="larger than 16384 bytes"):
        examine(bytes(16385), "127.0.0.1", _ci)
