"""Those who do not authenticate: they hang, they flood, they guess; whoever does authenticate gets in all the same."""

import asyncio
import contextlib
import logging
import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from recorder.identity import fingerprint
from recorder.protocols.ssh.serve.attempts import Attempts
from recorder.protocols.ssh.serve.crowd import Crowd, Stage
from tests.servers.client import HOST, Client
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway
from tests.servers.site import Site
from tests.servers.sshd import new_key
from tests.servers.tapes import until

_VERSION = b"SSH-2.0-Test_1\r\n"
_GARBAGE = (b"GET / HTTP/1.1\r\n\r\n", b"SSH-1.5-old\r\n", random.Random(7).randbytes(200) + b"\n")


def _files(gateway: Gateway) -> int:
    return len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    """Connections of a test, closed with it; the test's process may have enough of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 4096 else max(soft, 4096), hard))
    with ExitStack() as stack:
        yield stack
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _join(crowd: ExitStack, gateway: Gateway, said: bytes = b"", port: int = 0) -> socket.socket:
    ours = crowd.enter_context(socket.create_connection(("127.0.0.1", port or gateway.port), 30))
    with contextlib.suppress(ConnectionError):
        ours.sendall(said)
    return ours


def _ends(ours: socket.socket) -> bytes:
    """What comes until the connection is closed."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while received := ours.recv(65536):
            said += received
    return said


def _drain(ours: socket.socket) -> None:
    while ours.recv(4096):
        pass


@pytest.mark.service
def test_thousand_that_never_authenticate_keep_nobody_out(
    site: Site, new_gateway: NewGateway, crowd: ExitStack, tmp_path: Path
) -> None:
    gateway = new_gateway(extra='[limits]\nlogin = "60s"\n', debug=False)
    client = site.client(tmp_path / "c", gateway)
    assert client.exec("echo before").stdout == b"before\n"
    before = _files(gateway)
    watch = gateway.watch()
    for number in range(1000):
        _join(crowd, gateway, (b"", _VERSION, _GARBAGE[number % 3])[number % 3])
        if number % 250 == 249:
            begun = time.monotonic()
            assert client.exec(f"echo {number}").stdout == f"{number}\n".encode()
            assert time.monotonic() - begun < 10
            assert _files(gateway) < before + 64 + 16
    watch.tapes(4)
    assert "closed to make room for newer ones" in watch.log("connections that had not authenticated")
    crowd.close()
    until(lambda: _files(gateway) <= before or None, "the descriptors of before")
    assert len(gateway.server.found("closed to make room", watch.after)) < 15


@pytest.mark.service
def test_whoever_hangs_is_closed_in_time(site: Site, new_gateway: NewGateway, crowd: ExitStack, tmp_path: Path) -> None:
    gateway = new_gateway(extra='[limits]\nlogin = "3s"\n')
    with site.client(tmp_path / "c", gateway).start(f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        before = _files(gateway)
        watch = gateway.watch()
        for ours in [_join(crowd, gateway, said) for said in (b"", b"SSH-2.", _VERSION)]:
            assert b"3 s passed ([limits] login)" in _ends(ours)
        gateway.server.lines(r"did not authenticate: 3 s passed", 3, watch.after)
        # Though their peers keep them open.
        until(lambda: _files(gateway) <= before or None, "the descriptors of before")
        # Once it has authenticated, a client may take its time.
        assert ssh.communicate(b"on")[0] == b"on"


@pytest.mark.service
def test_limit_is_one_for_all_listeners_and_not_for_sessions(site: Site, crowd: ExitStack, tmp_path: Path) -> None:
    gateway = site.start(tmp_path / "gateway", fixed=("web1",), extra="[limits]\nunauthenticated = 2\n")
    try:
        client = site.client(tmp_path / "c", gateway)
        with (
            client.start(f"web1@{HOST}", "echo up; cat") as first,
            client.start(f"web1@{HOST}", "echo up; cat") as second,
        ):
            for ssh in (first, second):
                assert ssh.stdout is not None
                assert ssh.stdout.readline() == b"up\n"
            waiting = []
            for port in (*gateway.ports, *gateway.ports):
                waiting.append(_join(crowd, gateway, port=port))
                assert waiting[-1].recv(8) == b"SSH-2.0-"
            for ours in waiting[:2]:
                assert b"too many connections wait to authenticate" in _ends(ours)
            for ours in waiting[2:]:
                ours.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    _drain(ours)
            for ssh in (first, second):
                assert ssh.communicate(b"still here")[0] == b"still here"
        gateway.assert_sound()
    finally:
        gateway.stop()


@pytest.mark.service
def test_whoever_left_takes_no_place(site: Site, new_gateway: NewGateway, crowd: ExitStack, tmp_path: Path) -> None:
    gateway = new_gateway(extra="[limits]\nunauthenticated = 2\n")
    for said in (b"", _VERSION, *_GARBAGE):
        watch = gateway.watch()
        _join(crowd, gateway, said).close()
        watch.log("did not authenticate: ")
    client = site.client(tmp_path / "c", gateway)
    staying = _join(crowd, gateway)
    for _ in range(3):
        assert client.exec("echo in").stdout == b"in\n"
    staying.settimeout(0.2)
    with pytest.raises(TimeoutError):
        _drain(staying)
    assert not gateway.server.found("make room")


@pytest.mark.service
def test_flood_before_authentication_is_cut_off(crowd: ExitStack, gateway: Gateway) -> None:
    watch = gateway.watch()
    ignored = bytes((0, 0, 0, 12, 6, 2, 0, 0, 0, 0)) + bytes(6)  # SSH_MSG_IGNORE
    ours = _join(crowd, gateway, _VERSION)
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            ours.sendall(ignored * 1000)
    watch.log(r"did not authenticate: it sent more than 256 KiB before it had authenticated")


@pytest.mark.service
def test_packet_that_would_be_large_is_cut_off(crowd: ExitStack, gateway: Gateway) -> None:
    watch = gateway.watch()
    ours = _join(crowd, gateway, _VERSION + (70_000).to_bytes(4, "big") + bytes(100))
    assert b"Max packet size exceeded" in _ends(ours)
    watch.log(r"did not authenticate: \"Max packet size exceeded\"")


def _client_with_keys(site: Site, gateway: Gateway, folder: Path, count: int) -> Client:
    client = site.client(folder, gateway)
    keys = [new_key(folder / f"key{number}") for number in range(count)]
    lines = client.config.read_text().replace(
        "Host *\n", "Host *\n" + "".join(f"  IdentityFile {key}\n" for key in keys)
    )
    client.config.write_text(lines)
    return client


@pytest.mark.service
def test_sixth_key_may_be_the_right_one(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    client = _client_with_keys(site, gateway, tmp_path / "c", 5)
    assert client.exec("echo in").stdout == b"in\n"


@pytest.mark.service
def test_seventh_key_is_not_heard(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    watch = gateway.watch()
    done = _client_with_keys(site, gateway, tmp_path / "c", 6).exec("echo in")
    assert done.returncode == 255
    assert b"too many authentication failures, 6 at most: offer fewer keys" in done.stderr
    line = watch.log(r'did not authenticate: too many authentication failures.*; user "web1": no agent has SHA256:')
    assert line.count("SHA256:") == 3
    assert line.endswith(" and 3 more")


class _Waiting:
    """A connection that hangs at one stage."""

    def __init__(self, stage: Stage, source: str = "10.0.0.1") -> None:
        self.stage = stage
        self.source = source
        self.expelled = False

    def expel(self) -> None:
        self.expelled = True


def _entered(limit: int, *waiting: _Waiting) -> list[_Waiting]:
    """Those who are left after all have entered in this order."""

    async def enter() -> Crowd:
        crowd = Crowd()
        for one in waiting:
            crowd.enter(one, limit)
            assert not one.expelled, "a newcomer is never the one"
            assert len(crowd) <= limit
        return crowd

    crowd = asyncio.run(enter())
    left = [one for one in waiting if not one.expelled]
    assert len(crowd) == len(left) == min(limit, len(waiting))
    return left


def test_of_equals_the_oldest_goes() -> None:
    waiting = [_Waiting(Stage.SILENT) for _ in range(10)]
    assert _entered(4, *waiting) == waiting[-4:]


def test_whoever_is_over_goes_first() -> None:
    waiting = [_Waiting(stage) for stage in (Stage.SILENT, Stage.SILENT, Stage.GONE, Stage.SILENT)]
    assert _entered(3, *waiting) == [waiting[0], waiting[1], waiting[3]]


@pytest.mark.parametrize("stage", [Stage.SILENT, Stage.GREETED, Stage.NEGOTIATING, Stage.KEYED])
def test_a_crowd_at_one_stage_displaces_nobody_further_on(stage: Stage) -> None:
    honest = _Waiting(Stage.AUTHENTICATING)
    assert honest in _entered(8, honest, *(_Waiting(stage) for _ in range(1000)))


def test_the_address_with_the_most_connections_gives_way() -> None:
    honest = [_Waiting(Stage.SILENT, f"10.0.0.{number}") for number in range(2, 5)]
    crowd = [_Waiting(Stage.KEYED, "10.0.0.1") for _ in range(100)]
    left = _entered(8, *honest, *crowd)
    assert left == [*honest, *crowd[-5:]]


def test_a_network_of_ipv6_is_one_source() -> None:
    honest = _Waiting(Stage.SILENT, "2001:db8:1::1")
    crowd = [_Waiting(Stage.SILENT, f"2001:db8:2::{number:x}") for number in range(100)]
    assert honest in _entered(8, honest, *crowd)


@pytest.mark.parametrize("source", ["", "fe80::1%eth0", "::ffff:10.0.0.1", "no address", ":"])
def test_any_source_can_enter(source: str) -> None:
    assert len(_entered(1, _Waiting(Stage.SILENT, source), _Waiting(Stage.SILENT, source))) == 1


def test_a_random_crowd_stays_within_its_limit() -> None:
    source = random.Random(11)
    for _ in range(50):
        addresses = [f"10.0.0.{number}" for number in range(source.randint(1, 12))]
        waiting = [_Waiting(source.choice(list(Stage)), source.choice(addresses)) for _ in range(60)]
        _entered(source.randint(1, 20), *waiting)


def test_leaving_makes_room() -> None:
    async def enter() -> None:
        crowd = Crowd()
        first, second, third = (_Waiting(Stage.SILENT) for _ in range(3))
        crowd.enter(first, 2)
        crowd.enter(second, 2)
        crowd.leave(first)
        crowd.leave(first)
        crowd.enter(third, 2)
        assert not second.expelled

    asyncio.run(enter())


def test_the_log_counts_where_it_would_be_flooded(caplog: pytest.LogCaptureFixture) -> None:
    async def enter() -> None:
        crowd = Crowd()
        for number in range(1000):
            crowd.enter(_Waiting(Stage.SILENT), 2)
            crowd.tell(logging.INFO, "line %d", number)
        await asyncio.sleep(1.2)

    with caplog.at_level(logging.INFO, "tacho.ssh"):
        asyncio.run(enter())
    said = [record.getMessage() for record in caplog.records]
    assert [int(line.split()[0]) for line in said if "make room" in line] == [1, 997]
    told = sum(line.startswith("line ") for line in said)
    (left_out,) = (int(line.split()[0]) for line in said if "left out" in line)
    assert 200 <= told < 250
    assert told + left_out == 1000


def _pauses(*methods: bytes) -> list[float]:
    attempts = Attempts()
    pauses = []
    for method in methods:
        pauses.append(attempts.begun(method))
        attempts.failed()
    return pauses


def test_failures_make_the_next_answer_later() -> None:
    pauses = _pauses(b"none", *[b"publickey"] * 6)
    assert pauses[:4] == [0, 0, 0, 0]
    assert pauses == sorted(pauses)
    assert 0 < pauses[-1] <= 1


def test_asking_for_the_methods_first_is_no_failure() -> None:
    attempts = Attempts()
    for method in [b"none", *[b"publickey"] * 5]:
        attempts.begun(method)
        attempts.failed()
    assert not attempts.exhausted
    attempts.begun(b"none")
    attempts.failed()
    assert attempts.exhausted.startswith("too many authentication failures, 6 at most")


def test_requests_that_never_fail_are_counted_too() -> None:
    attempts = Attempts()
    for _ in range(20):
        attempts.begun(b"publickey")
        attempts.unproved(b"key")
        assert not attempts.exhausted
    attempts.begun(b"publickey")
    assert attempts.exhausted.startswith("too many authentication requests, 20 at most")
    assert attempts.summary("x\n") == f'user "x\\n": no good signature came for {fingerprint(b"key")}'


def test_summary_of_nothing() -> None:
    attempts = Attempts()
    assert attempts.summary("") == "it asked for nothing"
    attempts.begun(b"none")
    assert attempts.summary("web1") == 'user "web1": it offered no key'
