"""`tacho`, and questions to the control socket, as another user of this machine. It takes root to become one.

The child becomes that user once it has loaded all it needs: interpreter and checkout may lie where only root reads.
"""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from recorder.control_client import ControlRefused, NoGateway, ask
from tests.servers.process import LIMIT_S, environment

STRANGER = 61234  # a uid that has no account
_ROOT = Path(__file__).parents[2]
Question = tuple[str, Mapping[str, object]]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def answer_of(socket: Path, verb: str, arguments: Mapping[str, object]) -> str:
    """What a question gets: "ok", the code of the refusal, or "no gateway"."""
    try:
        ask(socket, verb, **arguments)
    except ControlRefused as refusal:
        return refusal.code.value
    except NoGateway:
        return "no gateway"
    return "ok"


def tacho_as(uid: int, *arguments: str, group: int = 0) -> "subprocess.CompletedProcess[str]":
    """Runs `tacho ARGUMENTS` as a user who is in `group` and in no other."""
    return _run(uid, group, "tacho", *arguments)


def ask_as(uid: int, socket: Path, questions: Sequence[Question], group: int = 0) -> list[str]:
    """`answer_of` each question when that user asks it."""
    done = _run(uid, group, "ask", str(socket), json.dumps(list(questions)))
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def _run(uid: int, group: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.servers.other_user", str(uid), str(group), *arguments]
    env = environment(PYTHONPATH=str(_ROOT), HOME="/", NO_COLOR="1")
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=LIMIT_S, cwd="/")


def _load() -> None:
    """Imports what the verbs that read, and those that ask, import as they run."""
    importlib.import_module("recorder.control_client")
    importlib.import_module("recorder.rights")
    for name in ("replay.cli", "replay.recording", "replay.transcript", "replay.terminal", "replay.export"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)


def _become(uid: int, group: int) -> None:
    os.setgroups([])
    os.setgid(group)
    os.setuid(uid)


def _main(uid: int, group: int, what: str, *arguments: str) -> None:
    if what == "ask":
        _become(uid, group)
        socket, questions = arguments
        found = [answer_of(Path(socket), verb, values) for verb, values in json.loads(questions)]
        sys.stdout.write(json.dumps(found))
        return
    _load()
    from replay.__main__ import main

    _become(uid, group)
    sys.argv = ["tacho", *arguments]
    main()


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
