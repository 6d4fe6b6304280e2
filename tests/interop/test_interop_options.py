"""OpenSSH's options in the wild: compression, new keys, ciphers, key exchanges; agreed on, or clearly refused."""

import hashlib
import re

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Outcome, Way, Ways

pytestmark = pytest.mark.service

_MIB = 1024 * 1024
_NOISE = hashlib.shake_256(b"options").digest(2 * _MIB)
_DIGEST = hashlib.sha256(_NOISE).hexdigest()
_AGREED = re.compile(rb"^debug1: kex: (.*?)\r?$", re.MULTILINE)


def _echo(way: Way, *options: str) -> Outcome:
    done = way.ssh(*options, way.host, "cat; echo over >&2; exit 5", stdin=_NOISE)
    return done._replace(stdout=hashlib.sha256(done.stdout).hexdigest().encode())


@pytest.mark.parametrize(
    "option",
    [
        "Compression=yes",
        "RekeyLimit=1M",
        "Ciphers=aes256-ctr",
        "Ciphers=aes256-gcm@openssh.com,chacha20-poly1305@openssh.com",
        "KexAlgorithms=curve25519-sha256",
        "KexAlgorithms=ecdh-sha2-nistp256",
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "HostKeyAlgorithms=ssh-ed25519",
        "ServerAliveInterval=1",
    ],
)
def test_option_changes_nothing_of_the_result(ways: Ways, option: str) -> None:
    done, (tape,) = ways.same(lambda way: _echo(way, "-o", option))
    assert done == Outcome(5, _DIGEST.encode(), b"over\n")
    assert tape.digest(Kind.IN) == tape.digest(Kind.OUT) == _DIGEST
    assert tape.crossed(Kind.ERR) == b"over\n"


@pytest.mark.parametrize("mac", ["hmac-sha2-256", "hmac-sha2-512", "hmac-sha2-256-etm@openssh.com"])
def test_code_of_authentication(ways: Ways, mac: str) -> None:
    done, (tape,) = ways.same(lambda way: _echo(way, "-o", "Ciphers=aes128-ctr", "-o", f"MACs={mac}"))
    assert done == Outcome(5, _DIGEST.encode(), b"over\n")
    assert tape.digest(Kind.IN) == _DIGEST


def test_compression_is_not_agreed(ways: Ways) -> None:
    watch = ways.gateway.watch()
    through, straight = (_echo(way, "-C", "-v") for way in (ways.through, ways.straight))
    assert (through.status, through.stdout) == (straight.status, straight.stdout) == (5, _DIGEST.encode())
    assert {line.rpartition(b" ")[2] for line in _directions(straight)} == {b"zlib@openssh.com"}
    assert {line.rpartition(b" ")[2] for line in _directions(through)} == {b"none"}
    assert watch.tape().digest(Kind.IN) == _DIGEST


def _directions(done: Outcome) -> list[bytes]:
    found = [line for line in _AGREED.findall(done.stderr) if b" compression: " in line]
    assert len(found) == 2, done.stderr
    return found


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("Ciphers=chacha20-poly1305@openssh.com", b"no matching cipher found. Their offer: aes128-gcm@openssh.com,"),
        ("Ciphers=3des-cbc", b"no matching cipher found. Their offer: aes128-gcm@openssh.com,"),
        ("HostKeyAlgorithms=rsa-sha2-512", b"no matching host key type found. Their offer: ssh-ed25519"),
        ("KexAlgorithms=sntrup761x25519-sha512@openssh.com", b"no matching key exchange method found. Their offer: "),
        ("KexAlgorithms=diffie-hellman-group1-sha1", b"no matching key exchange method found. Their offer: "),
    ],
)
def test_algorithm_that_the_gateway_does_not_offer(ways: Ways, option: str, sentence: bytes) -> None:
    watch = ways.gateway.watch()
    done = ways.through.ssh("-o", option, ways.through.host, "true")
    assert (done.status, done.stdout) == (255, b"")
    assert sentence in done.stderr
    watch.log(r"agent 127\.0\.0\.1:\d+ did not authenticate: ")
