"""What a reload says that it changed, and what it refuses to change."""

from pathlib import Path

import pytest

from recorder.config import parse
from recorder.gateway.reload import changes, fixed

PATH = Path("/etc/tacho/tachograph.toml")
BASE = """
[[listen]]
address = "127.0.0.1:2222"
protocol = "ssh"
[[target]]
name = "web1"
address = "10.0.0.5:22"
logins = ["deploy"]
host_key = "ssh-ed25519 AAAA"
[[agent]]
name = "ci"
targets = ["web*"]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", []),
        ("", '[[agent]]\nname = "b"\n', ["agent b added"]),
        ('[[agent]]\nname = "b"\n', "", ["agent b removed"]),
        ('[[agent]]\nname = "b"\n', '[[agent]]\nname = "b"\ntargets = ["x"]\n', ["agent b changed (targets)"]),
        ("", '[limits]\nidle = "5m"\nlogin = "5s"\n', ["limits login changed", "limits idle changed"]),
        ("", '[[listen]]\nprotocol = "ssh"\naddress = "127.0.0.1:2223"\n', ["listen 127.0.0.1:2223 added"]),
        ("", '[[person]]\nname = "ana"\n', ["person ana added"]),
        ("", '[[authority]]\nkey = "ssh-ed25519 BBBB"\nagents = ["*"]\n', ["authority ssh-ed25519 BBBB added"]),
    ],
)
def test_changes_are_named(old: str, new: str, said: list[str]) -> None:
    assert changes(parse(BASE + old, PATH), parse(BASE + new, PATH)) == said


def test_what_needs_a_restart_is_named() -> None:
    new = parse('[gateway]\ndata = "other"\n[record]\nmode = "durable"\n' + BASE, PATH)
    assert fixed(parse(BASE, PATH), new) == ["[gateway] data", "[record] mode"]
    assert fixed(new, new) == []
