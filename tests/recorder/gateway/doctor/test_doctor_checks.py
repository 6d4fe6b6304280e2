"""The doctor's checks side by side: one that fails or hangs hides nothing, and its folder is not at fault."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.gateway.doctor import Finding, checks
from recorder.gateway.doctor.setup import Setup
from tests.recorder.gateway.doctor.set_up import Folder, doctor
from tests.servers.site import Site

pytestmark = pytest.mark.service


def test_a_check_that_fails_or_hangs_hides_nothing(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Folder(site, tmp_path / "flight").make()
    ended = threading.Event()

    def hangs(_setup: Setup) -> Iterator[Finding]:
        ended.wait(30)
        yield from ()

    def fails(_setup: Setup) -> Iterator[Finding]:
        raise LookupError("a secret")

    def denied(setup: Setup) -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", str(setup.config.tapes))

    added = ("slow", hangs), ("defective", fails), ("closed", denied)
    monkeypatch.setattr(checks, "_LIMIT_S", 2.0)
    monkeypatch.setattr(checks, "_AT_WORK", (*checks._AT_WORK, *added))
    report = doctor(flight)
    ended.set()
    run = f"run `sudo -u '#{flight.stat().st_uid}' tacho doctor --config {flight}/tachograph.toml`"
    assert report.warned == [
        ("slow", "the machine gave no answer within 11 s: see `dmesg`, and whether a disk or a name server is down"),
        (
            "defective",
            "it was not looked at, by a defect of tacho (LookupError): report what `tacho doctor --debug` says",
        ),
        ("closed", f"{flight}/var/tapes could not be looked at (Permission denied): {run}"),
    ]
    assert report.wrong == []
    assert report.ok("gateway")
