"""The two ways to one sshd that every test here takes."""

from pathlib import Path

import pytest

from tests.interop.ways import Way, Ways
from tests.servers.gateway import Gateway
from tests.servers.site import Site


@pytest.fixture
def ways(site: Site, gateway: Gateway, tmp_path: Path) -> Ways:
    """Through the gateway and straight."""
    folders = [tmp_path / name for name in ("through", "straight")]
    for folder in folders:
        folder.mkdir()
    through = site.client(tmp_path / "client", gateway, "web1")
    straight = site.direct(tmp_path / "direct")
    return Ways(gateway, Way(through, folders[0]), Way(straight, folders[1]))
