"""The user's key is made once, is theirs alone, and its public half can be handed on."""

import threading
from pathlib import Path

import pytest

from recorder import tree
from recorder.protocols.local import SignerError, signer


def test_made_at_first_use_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "config/tachograph"
    name, key = signer(folder, "ana@host")
    assert name == "ana@host"
    assert tree.public_bytes(signer(folder, "ana@host")[1]) == tree.public_bytes(key)
    assert {path.name for path in folder.iterdir()} == {"rec_key", "rec_key.pub"}
    assert (folder / "rec_key").stat().st_mode & 0o777 == 0o600
    assert (folder / "rec_key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert tree.parse_verifier_key((folder / "rec_key.pub").read_text()) == ("ana@host", tree.public_bytes(key))
    (folder / "rec_key.pub").unlink()
    signer(folder, "ana@host")
    assert (folder / "rec_key.pub").exists()


@pytest.mark.parametrize("name", ["a+b@host", "ana maria@h\u00f6st", "\n\x1b", ""])
def test_any_name_gives_a_verifier_key(tmp_path: Path, name: str) -> None:
    found, key = signer(tmp_path, name)
    assert tree.parse_verifier_key((tmp_path / "rec_key.pub").read_text()) == (found, tree.public_bytes(key))


def test_several_at_once_get_the_same_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    start = threading.Barrier(8)

    def use() -> None:
        start.wait(10)
        found.append(tree.public_bytes(signer(tmp_path, "ana")[1]))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"rec_key", "rec_key.pub"}


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    signer(tmp_path, "ana")
    key = tmp_path / "rec_key"
    key.chmod(0o640)
    with pytest.raises(SignerError, match="chmod 600"):
        signer(tmp_path, "ana")
    key.chmod(0o600)
    for content in (b"", b"\x00" * 5000, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        key.write_bytes(content)
        with pytest.raises(SignerError, match="no Ed25519 key"):
            signer(tmp_path, "ana")
    (tmp_path / "file").write_text("")
    with pytest.raises(SignerError, match="mend the rights"):
        signer(tmp_path / "file", "ana")
