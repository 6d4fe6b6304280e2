"""The trusted keys of a target: what cannot be used as such is said in one sentence."""

from pathlib import Path

import pytest

from recorder.model import Secret, SecretKind, Target
from recorder.protocols.ssh.serve.target import TargetUnavailable, known_hosts


def target(path: Path) -> Target:
    return Target("web1", "ssh", "10.0.0.5", 22, ("deploy",), Secret(SecretKind.ENV, ("X",)), known_hosts=str(path))


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file or directory"), (b"@no-such-marker web1 ssh-ed25519 AAAA\n", ""), (b"web1\n", "")],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "known_hosts"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TargetUnavailable) as caught:
        known_hosts(target(path))
    said = str(caught.value)
    assert said.startswith(f"the known_hosts of target web1, {path}, cannot be used: ")
    assert why in said
    assert said.endswith("; mend it, or set host_key")


def test_an_empty_file_trusts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.touch()
    assert known_hosts(target(path))  # what is falsy would make asyncssh read the user's own file
