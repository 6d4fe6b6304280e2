"""ansible as Debian has it, with its shared connections: a ping and a small playbook."""

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Entry, Outcome, Way, Ways, tree
from tests.servers.client import HOST
from tests.servers.tapes import Taped

pytestmark = pytest.mark.service

_TIMES = re.compile(rb'"(start|end|delta)": "[^"]*"')
_PLAYBOOK = """
- hosts: all
  gather_facts: false
  vars: {listen: 8080}
  tasks:
    - ansible.builtin.copy: {src: large, dest: "{{ at }}/large", mode: "0640"}
    - ansible.builtin.template: {src: shop.conf.j2, dest: "{{ at }}/shop.conf", mode: "0600"}
    - ansible.builtin.file: {path: "{{ at }}/run/shop", state: directory, mode: "0711"}
    - ansible.builtin.command: {cmd: "cat {{ at }}/shop.conf"}
      register: conf
      changed_when: false
    - ansible.builtin.debug: {var: conf.stdout_lines}
    - ansible.builtin.shell: {cmd: "echo out; echo err >&2; exit 3"}
      ignore_errors: true
    - ansible.builtin.fetch: {src: "{{ at }}/large", dest: "{{ back }}/", flat: true}
"""
_SHORT = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {src: large, dest: "{{ at }}/large", mode: "0640"}
    - ansible.builtin.fetch: {src: "{{ at }}/large", dest: "{{ back }}/", flat: true}
"""
_LARGE = bytes(range(256)) * 2048


Left = tuple[Outcome, dict[str, Entry], dict[str, Entry]]


class _Ansible:
    """ansible on one way."""

    def __init__(self, way: Way, control: Path, **settings: str) -> None:
        self.way = way
        self.at = way.folder / "at"
        self.back = way.folder / "back"
        for folder in (self.at, self.back):
            folder.mkdir()
        (way.folder / "large").write_bytes(_LARGE)
        (way.folder / "shop.conf.j2").write_text("host = {{ inventory_hostname }}\nlisten = {{ listen }}\n")
        (way.folder / "inventory").write_text(f"web ansible_host={HOST} ansible_user={way.client.user}\n")
        (way.folder / "ansible.cfg").touch()
        self.env = {
            "ANSIBLE_CONFIG": str(way.folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(way.client.folder / "ansible"),
            "ANSIBLE_INVENTORY": str(way.folder / "inventory"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "ANSIBLE_REMOTE_TEMP": str(way.folder / "remote"),
            "ANSIBLE_SSH_COMMON_ARGS": f"-F {way.client.config}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
            **settings,
        }

    def run(self, program: str, *arguments: str) -> Outcome:
        done = self.way.run([program, *arguments], env=self.env)
        return done._replace(stdout=_TIMES.sub(rb"\1", done.stdout))

    def play(self, playbook: str) -> Left:
        path = self.way.folder / "play.yml"
        path.write_text(playbook)
        done = self.run("ansible-playbook", "-e", f"at={self.at} back={self.back}", str(path))
        return done, tree(self.at), tree(self.back)


@contextmanager
def _ansible(way: Way, control: Path, **settings: str) -> Iterator[_Ansible]:
    """ansible on one way; the connections that it left for others to share end here."""
    sockets = control / way.folder.name
    try:
        yield _Ansible(way, sockets, **settings)
    finally:
        ends = [way.client.ssh("-O", "exit", "-S", str(socket), way.host) for socket in sockets.iterdir()]
    assert [end.returncode for end in ends] == [0], ends


def test_ping(ways: Ways, short_path: Path) -> None:
    def ping(way: Way) -> Outcome:
        with _ansible(way, short_path) as ansible:
            return ansible.run("ansible", "all", "-m", "ping")

    done, (tape,) = ways.same(ping)
    assert done.status == 0
    assert b'web | SUCCESS => {\n    "changed": false,\n    "ping": "pong"\n}' in done.stdout
    assert any(b'{"ping": "pong"' in tape.crossed(Kind.OUT, stream) for stream in tape.commands())


@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_playbook(ways: Ways, short_path: Path, pipelining: str) -> None:
    def play(way: Way) -> Left:
        with _ansible(way, short_path, ANSIBLE_PIPELINING=pipelining) as ansible:
            return ansible.play(_PLAYBOOK)

    (done, at, back), (tape,) = ways.same(play)
    assert done.status == 0, done
    for tally in (b"ok=7 ", b"changed=5 ", b"failed=0 ", b"ignored=1 "):
        assert tally in done.stdout
    assert b'"listen = 8080"' in done.stdout
    assert b'"stderr": "err"' in done.stdout
    assert {name: entry.mode for name, entry in at.items()} == {
        ".": "drwxr-xr-x", "large": "-rw-r-----", "run": "drwx--x--x", "run/shop": "drwx--x--x",
        "shop.conf": "-rw-------",
    }  # fmt: skip
    assert back["large"].content == at["large"].content == hashlib.sha256(_LARGE).hexdigest()
    # Without pipelining every module is a file, run on a terminal; with it, it is the interpreter's input.
    assert (tape.noted("pty") == []) == (pipelining == "1")
    commands = tape.commands().values()
    assert any(b"/usr/bin/python3 && sleep 0" in command for command in commands) == (pipelining == "1")
    _large_went_both_ways(tape)


@pytest.mark.parametrize("method", ["scp", "piped"])
def test_transfers_without_sftp(ways: Ways, short_path: Path, method: str) -> None:
    def play(way: Way) -> Left:
        settings = {"ANSIBLE_SSH_TRANSFER_METHOD": method, "ANSIBLE_SCP_EXTRA_ARGS": "-O"}
        with _ansible(way, short_path, **settings) as ansible:
            return ansible.play(_SHORT)

    (done, at, back), (tape,) = ways.same(play)
    assert done.status == 0, done
    assert back["large"].content == at["large"].content == hashlib.sha256(_LARGE).hexdigest()
    assert tape.noted("subsystem") == []
    program = b"scp -t " if method == "scp" else b"dd of="
    assert any(program in command for command in tape.commands().values()), tape.commands()
    _large_went_both_ways(tape)


def _large_went_both_ways(tape: Taped) -> None:
    streams = range(1, len(tape.noted("channel")) + 1)
    assert any(_LARGE[:8192] in tape.crossed(Kind.IN, stream) for stream in streams)
    out = b"".join(tape.crossed(Kind.OUT, stream) for stream in streams)
    assert _LARGE[:8192] in out or base64.b64encode(_LARGE)[:8192] in out
