"""The doctor on agents, authorities and persons: the mend for each."""

from pathlib import Path

import pytest

from tests.recorder.gateway.doctor.set_up import ME, Folder, doctor, fingerprint
from tests.servers.gateway import AgentEntry
from tests.servers.site import Site
from tests.servers.sshd import public

pytestmark = pytest.mark.service


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Folder:
    return Folder(site, tmp_path / "flight")


def test_agents_with_one_key_and_one_with_none(folder: Folder) -> None:
    key = public(folder.site.key)
    broken = AgentEntry("broken", "ssh-ed25519 AAAA…", ("web1",))
    flight = folder.make(agents=(AgentEntry("ci", key, ("web1",)), AgentEntry("other", key, ("web1",)), broken))
    report = doctor(flight)
    assert report.status == 5
    assert report.wrong == [
        (
            "agents",
            (
                f"agents ci and other have the same key, {fingerprint(key)}: make another with"
                " `ssh-keygen -t ed25519 -f other`, and give other that .pub"
            ),
        ),
        (
            "agents",
            (
                f"a key of agent broken in {folder.config} is none (the key's second field is not base64): write the"
                " whole line of its .pub file, TYPE BASE64"
            ),
        ),
    ]


def test_agents_and_targets_that_do_not_meet(folder: Folder) -> None:
    agents = AgentEntry("ci", public(folder.site.key), ("db*",)), AgentEntry("idle", public(folder.site.spare), ())
    report = doctor(folder.make(agents=agents))
    assert (report.status, report.wrong) == (0, [])
    assert report.warned == [
        ("agents", f'"db*" among the targets of agent ci matches none: correct it in {folder.config}; there are: web1'),
        ("agents", f"agent idle reaches nothing: add targets to it in {folder.config}"),
        ("targets", f"no agent reaches target web1: add it to the targets of an [[agent]] in {folder.config}"),
    ]


def test_authorities(folder: Folder) -> None:
    key = public(folder.site.stranger)
    entry = '[[authority]]\nkey = "{}"\nagents = ["{}"]\n'
    extra = entry.format(key, "ci") + entry.format(key, "ci") + entry.format(key[:-4], "ci")
    extra += entry.format(public(folder.site.spare), "robot-*")
    report = doctor(folder.make(extra=extra))
    first, second = report.wrong
    number = f"[[authority]] number {{}} in {folder.config}"
    assert first == ("authorities", f"{number.format(2)} has the same key as number 1: put the agents of both into one")
    assert second[1].startswith(f"the key of {number.format(3)} is none (")
    assert second[1].endswith("): write the whole line of the CA's .pub file, TYPE BASE64")
    what = f'{number.format(4)} may name no agent that there is: correct its agents, "robot-*"'
    assert report.warned == [("authorities", what)]


def test_persons_whom_the_machine_does_not_know(folder: Folder) -> None:
    persons = '[[person]]\nname = "ana"\nos_user = "no-such-account"\nmay = ["admin"]\n'
    persons += '[[person]]\nname = "bo"\nos_user = "daemon"\n'
    agents = f'[[agent]]\nname = "worker"\nkeys = ["{public(folder.site.spare)}"]\ntargets = ["web1"]\nos_user = '
    report = doctor(folder.make(extra=f'{persons}{agents}"daemon"\n'))
    assert report.status == 5
    assert report.wrong == [
        (
            "persons",
            (
                'person ana has the os_user "no-such-account", an account that this machine has not: correct it in'
                f" {folder.config}, or run `useradd` for it"
            ),
        ),
        (
            "persons",
            (
                'person bo has the os_user "daemon", which is agent worker\'s, and an agent is no person: give one of'
                f" them another account, and name it in {folder.config}"
            ),
        ),
    ]


def test_an_agent_that_runs_as_the_gateway(folder: Folder) -> None:
    spare = public(folder.site.spare)
    extra = f'[[agent]]\nname = "worker"\nkeys = ["{spare}"]\ntargets = ["web1"]\nos_user = "{ME}"\n'
    extra += '[[person]]\nname = "ana"\n'
    report = doctor(folder.make(extra=extra))
    own = f"agent worker runs as {ME}, the gateway's own user, and can read keys and change tapes"
    assert report.warned == [
        ("persons", f"{own}: give the agent, or the gateway, another account"),
        ("persons", f"person ana has no os_user, so nobody can act as them: add it in {folder.config}"),
        ("persons", f'no person may administer: add "admin" to may of a [[person]] in {folder.config}'),
    ]
