"""`tacho doctor`: what it says of a fresh folder and of one that works, exit codes, and how it prints."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from recorder import __version__
from recorder.cli import COMMANDS
from tests.recorder.gateway.doctor.set_up import DOCTOR, ME, Folder, doctor, fingerprint
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import ROOT
from tests.servers.process import LIMIT_S, environment
from tests.servers.site import Site
from tests.servers.sshd import LOGIN, new_key, public

pytestmark = pytest.mark.service


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Folder:
    return Folder(site, tmp_path / "flight")


def test_a_fresh_init_is_well_and_the_next_step_is_said(tmp_path: Path) -> None:
    flight = tmp_path / "flight"
    init = next(command for command in COMMANDS if command.name == "init")
    assert CliRunner().invoke(init, [str(flight)]).exit_code == 0
    toml = flight / "tachograph.toml"
    toml.write_text(toml.read_text().replace("127.0.0.1:2222", "127.0.0.1:0"))
    report = doctor(flight)
    assert (report.status, report.wrong, report.warned, report.error) == (0, [], [], "")
    (hint,) = report.ok("agents")
    assert hint == (
        f"there are none yet, and no targets; next: uncomment [[target]] and [[agent]] in {toml}, fill them in,"
        " and run `tacho doctor` again"
    )
    assert report.ok("gateway") == [f"none runs on {flight}/var; start it with `tacho gateway --config {toml}`"]


def test_a_set_up_that_works(folder: Folder) -> None:
    flight = folder.make()
    report = doctor(flight)
    assert (report.status, report.wrong, report.warned, report.error) == (0, [], [], "")
    upstream = fingerprint(folder.site.install.upstream)
    assert report.ok("key of web1") == [f"{flight}/var/keys/upstream is there for the gateway alone, {upstream}"]
    (target,) = report.ok("target web1")
    address, key = folder.site.sshd.address, fingerprint(folder.site.sshd.host_key)
    assert target.startswith(f"{address} presents the configured host key, {key}, and is SSH-2.0-")
    assert report.ok(f'target web1, login "{LOGIN}"') == ["it lets the gateway in"]
    assert report.ok("journal") == ["there is room for the 16 MiB of it, and nothing waits for recovery"]
    assert report.ok("data folder") == [f"{flight}/var is {ME}'s, who alone writes in it"]


def test_beside_a_gateway_that_runs(folder: Folder, new_gateway: NewGateway) -> None:
    gateway = new_gateway(extra='[[person]]\nname = "ana"\nos_user = "nobody"\nmay = ["admin"]\n')
    toml = gateway.folder / "tachograph.toml"
    toml.write_text(toml.read_text().replace("127.0.0.1:0", f"127.0.0.1:{gateway.port}"))
    report = doctor(gateway.folder, live=True)
    assert report.ok("gateway") == [
        f"the gateway that runs, process {gateway.pid}, answers on {gateway.data}/run/control.sock"
    ]
    assert report.ok("listeners") == [f"the gateway listens on 127.0.0.1:{gateway.port}"]
    assert report.ok("journal") == [f"{gateway.data}/journal/0.journal is in use by the gateway"]
    assert report.ok("catalogue") == [f"{gateway.data}/catalogue.db has schema 2, and SQLite's check finds it whole"]
    assert {about for about, _ in report.wrong} <= {
        "target web-changed", "key of web-unwelcome", "target web-down", 'target web1, login "deploy"',
        f'target web-unwelcome, login "{LOGIN}"',
    }  # fmt: skip
    assert {"target web-changed", "target web-down"} <= {about for about, _ in report.wrong}


def test_no_configuration(tmp_path: Path) -> None:
    report = doctor(tmp_path)
    assert (report.status, report.findings) == (1, ())
    path = tmp_path / "tachograph.toml"
    assert report.error == f"tacho: no configuration at {path}: run `tacho init`, or name one with --config\n"


@pytest.mark.parametrize("what", ["tachograph.toml", "."])
def test_a_configuration_that_others_may_write_is_not_acted_upon(folder: Folder, what: str) -> None:
    mark = folder.path.with_name("mark")
    flight = folder.make()
    folder.config.write_text(re.sub(r"key = .*", f'key = ["touch", "{mark}"]', folder.config.read_text(), count=1))
    path = flight / what
    path.chmod(path.stat().st_mode | 0o002)
    report = doctor(flight)
    assert report.status == 5
    (only,) = report.wrong
    own = "or move it into a folder of its own"
    mends = {
        "tachograph.toml": f"the configuration {path} may be written by others: run `chmod o-w {path}`",
        ".": f"others may replace the configuration in {path}: run `chmod o-w {path}`, {own}",
    }
    assert only == ("configuration", mends[what])
    assert not mark.exists()
    assert report.error == "tacho: 1 thing is wrong: mend it, then run `tacho doctor` again\n"


def test_a_configuration_that_is_malformed(folder: Folder) -> None:
    flight = folder.make(extra="[limit]\nidle = 3\n")
    report = doctor(flight)
    (only,) = report.wrong
    line = folder.config.read_text().splitlines().index("[limit]") + 1
    assert only == (
        "configuration",
        f"{folder.config}, line {line}: unknown table or key 'limit'; did you mean 'limits'?",
    )


def run(flight: Path, *, terminal: bool = False, **environ: str) -> tuple[int, str]:
    """Runs it as a process; what it printed, on a terminal when that is wanted."""
    command = [sys.executable, "-m", "recorder", "doctor", "--config", str(flight / "tachograph.toml")]
    env = environment(PYTHONPATH=str(ROOT), **environ)
    if terminal:
        command = ["script", "-qec", shlex.join(command), "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL, timeout=LIMIT_S)
    return done.returncode, done.stdout


def test_one_line_a_check_with_colour_on_a_terminal_alone(folder: Folder) -> None:
    flight = folder.make(folder.web(name="web1", host_key=public(folder.site.stranger)))
    status, plain = run(flight)
    assert status == 5
    assert all(re.match(r"(ok   |warn |wrong)  [^:]+: \S", line) for line in plain.splitlines())
    assert "\x1b" not in plain
    assert "wrong  target web1: the host key of target web1 (" in plain
    assert "\x1b[31mwrong\x1b[0m  target web1: " in run(flight, terminal=True)[1]
    assert "\x1b" not in run(flight, terminal=True, NO_COLOR="1")[1]


def test_json_is_one_document(folder: Folder) -> None:
    flight = folder.make()
    done = CliRunner().invoke(DOCTOR, ["--config", str(flight / "tachograph.toml"), "--json"])
    document = json.loads(done.stdout)
    assert document["configuration"] == str(flight / "tachograph.toml")
    assert document["version"] == __version__
    assert document["ok"] + document["warn"] + document["wrong"] == len(document["findings"])
    assert set(document["findings"][0]) == {"level", "about", "text"}


def test_names_reach_the_terminal_as_text(folder: Folder) -> None:
    flight = folder.make(extra='[[person]]\nname = "ana"\nos_user = "\\u001b[2Jana"\nmay = ["admin"]\n')
    _, plain = run(flight)
    assert 'person ana has the os_user "\\e[2Jana", an account' in plain
    assert "\x1b" not in plain


def test_a_new_key_on_the_target_heals_it(folder: Folder) -> None:
    fresh = new_key(folder.path.with_name("fresh"))
    flight = folder.make(folder.web(key=f"file:{fresh}"))
    assert doctor(flight).status == 5
    with (folder.site.sshd.folder / "authorized_keys").open("a") as authorized:
        authorized.write(f"{public(fresh)}\n")
    assert doctor(flight).status == 0
