"""The fixtures of the service tests. Servers live as long as a worker; what a test starts ends with it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers.client import Client
from tests.servers.gateway import Gateway, TargetEntry
from tests.servers.site import Site

NewGateway = Callable[..., Gateway]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One sshd with a gateway before it."""
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.stop()


@pytest.fixture
def gateway(site: Site) -> Iterator[Gateway]:
    """The gateway of all tests; at the end of each it must be alive and without a defect in its log."""
    mark = site.gateway.server.mark()
    yield site.gateway
    assert site.gateway.server.running, site.gateway.server.text()
    site.gateway.assert_sound(mark)


@pytest.fixture
def new_gateway(site: Site, tmp_path: Path) -> Iterator[NewGateway]:
    """Starts gateways of the test's own, with more targets where it wants; they end with the test."""
    started: list[Gateway] = []

    def start(
        *more: TargetEntry,
        grace: float = 30.0,
        debug: bool = True,
        extra: str = "",
        environ: Mapping[str, str] | None = None,
        altered: Mapping[str, float] | None = None,
    ) -> Gateway:
        folder = tmp_path / f"gateway{len(started)}"
        gateway = site.start(folder, *more, grace=grace, debug=debug, extra=extra, environ=environ, altered=altered)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.stop()
    for gateway in started:
        gateway.assert_sound()


@pytest.fixture
def client(site: Site, gateway: Gateway, tmp_path: Path) -> Client:
    """The agent's client of the gateway, on target web1."""
    return site.client(tmp_path / "client", gateway)


@pytest.fixture
def direct(site: Site, tmp_path: Path) -> Client:
    """The same client without the gateway."""
    return site.direct(tmp_path / "direct")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tacho-") as folder:
        yield Path(folder)


@pytest.fixture
def common_path() -> Iterator[Path]:
    """A folder that every user of the machine can reach, with a short path."""
    with tempfile.TemporaryDirectory(prefix="tacho-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
