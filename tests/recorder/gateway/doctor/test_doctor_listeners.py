"""The doctor on addresses to listen on: taken, elsewhere, nobody's."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recorder.gateway.doctor.set_up import Folder, doctor
from tests.servers.fixtures import NewGateway
from tests.servers.site import Site

pytestmark = pytest.mark.service


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Folder:
    return Folder(site, tmp_path / "flight")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_another_program_has(folder: Folder, taken: int) -> None:
    flight = folder.make()
    folder.config.write_text(folder.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{taken}"))
    name = Path("/proc/self/comm").read_text().strip()
    assert doctor(flight).wrong == [
        (
            "listeners",
            (
                f'127.0.0.1:{taken} is taken by process {os.getpid()} ("{name}"): stop it with `kill {os.getpid()}`, or'
                f" choose another address in {folder.config}"
            ),
        )
    ]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.2.1:2222", ("this machine has not the address of 192.0.2.1:2222: correct address in {config}; `ip addr`"
         " lists those that it has")),
        ("gateway.invalid:2222", "nobody can listen on gateway.invalid:2222: {why}; correct address in {config}"),
    ],
)  # fmt: skip
def test_an_address_that_is_not_here(folder: Folder, address: str, text: str) -> None:
    flight = folder.make()
    folder.config.write_text(folder.config.read_text().replace("127.0.0.1:0", address))
    ((_, found),) = doctor(flight).wrong
    start, _, end = text.format(config=folder.config, why="\0").partition("\0")
    assert found.startswith(start)
    assert found.endswith(end)


def test_a_gateway_that_listens_elsewhere(new_gateway: NewGateway, taken: int) -> None:
    gateway = new_gateway()
    toml = gateway.folder / "tachograph.toml"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        listeners = f'127.0.0.1:{port}"\n[[listen]]\nprotocol = "ssh"\naddress = "127.0.0.1:{taken}'
        toml.write_text(toml.read_text().replace("127.0.0.1:0", listeners))
        found = [text for about, text in doctor(gateway.folder, live=True).wrong if about == "listeners"]
    mend = f"run `kill -HUP {gateway.pid}` so that it reads {toml} again, and see its log"
    assert found[0] == f"the gateway that runs does not listen on 127.0.0.1:{port}: {mend}"
    assert found[1].startswith(f"127.0.0.1:{taken} is taken by process {os.getpid()} ")
