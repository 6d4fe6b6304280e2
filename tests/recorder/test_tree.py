"""RFC 6962 hashing against published vectors, C2SP signed notes and checkpoints."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import tree

# The inputs and roots of Certificate Transparency's own reference tests (google/certificate-transparency,
# cpp/merkletree/merkle_tree_test.cc, repeated in transparency-dev/merkle, testonly/reference_inputs.go): the roots of
# the first one to eight leaves.
LEAVES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NAME = "tachograph/019e0000-0000-7000-8000-0123456789ab/0"
CHECKPOINT = tree.Checkpoint(NAME, 7, bytes(range(32)), 1_790_000_000_123_456_789)


def recursive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, as its recursion is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = recursive_root(leaves[:split]), recursive_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tree.Tree().root().hex() == empty
    assert tree.root_of([]).hex() == empty


@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    assert tree.root_of([tree.leaf_hash(leaf) for leaf in LEAVES[:size]]).hex() == ROOTS[size - 1]


def test_roots_while_growing_are_those_of_the_published_trees() -> None:
    growing = tree.Tree()
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        growing.append(tree.leaf_hash(leaf))
        assert growing.root().hex() == root
    assert growing.size == 8


def test_a_leaf_in_parts_hashes_like_its_whole() -> None:
    assert tree.leaf_hash(b"ab", b"", b"c") == tree.leaf_hash(b"abc")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=4), max_size=70))
def test_the_compact_tree_agrees_with_the_recursion(leaves: list[bytes]) -> None:
    assert tree.root_of([tree.leaf_hash(leaf) for leaf in leaves]) == recursive_root(leaves)


def signed(checkpoint: tree.Checkpoint = CHECKPOINT, name: str = NAME, key: Ed25519PrivateKey = KEY) -> str:
    return tree.sign_note(checkpoint.text(), name, key)


def test_a_checkpoint_comes_back_from_its_note() -> None:
    assert tree.open_checkpoint(signed(), NAME, tree.public_bytes(KEY)) == CHECKPOINT


def test_a_note_has_the_form_of_c2sp() -> None:
    text, _, signature = signed().partition("\n\n")
    assert text.splitlines() == [
        NAME,
        "7",
        base64.b64encode(bytes(range(32))).decode(),
        "time 1790000000123456789",
    ]
    dash, name, encoded = signature.removesuffix("\n").split(" ")
    public = KEY.public_key().public_bytes_raw()
    raw = base64.b64decode(encoded)
    assert (dash, name) == ("\u2014", NAME)
    assert raw[:4] == hashlib.sha256(NAME.encode() + b"\n\x01" + public).digest()[:4]
    KEY.public_key().verify(raw[4:], f"{text}\n".encode())


def test_a_published_note_verifies() -> None:
    # golang.org/x/mod/sumdb/note, note_test.go: key, text and signature.
    name, public = tree.parse_verifier_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    raw = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert name == "PeterNeumann"
    assert raw[:4].hex() == "c74f20a3"
    assert tree.verify(public, raw[4:], text)


@pytest.mark.parametrize(
    ("name", "key"),
    [(NAME, OTHER), (NAME + "x", KEY), ("", KEY)],
    ids=["another key", "another name", "no name"],
)
def test_a_note_by_somebody_else_is_refused(name: str, key: Ed25519PrivateKey) -> None:
    with pytest.raises(tree.NoteError):
        tree.open_checkpoint(signed(), name, tree.public_bytes(key))


def test_a_signature_under_a_wrong_name_is_refused() -> None:
    with pytest.raises(tree.NoteError):
        tree.open_checkpoint(signed(name="elsewhere"), NAME, tree.public_bytes(KEY))


def test_one_valid_signature_among_others_is_enough() -> None:
    note = signed() + signed(key=OTHER).partition("\n\n")[2]
    assert tree.open_checkpoint(note, NAME, tree.public_bytes(KEY)) == CHECKPOINT
    assert tree.open_checkpoint(note, NAME, tree.public_bytes(OTHER)) == CHECKPOINT


def test_every_altered_character_of_the_text_is_found() -> None:
    note = signed()
    for at in range(note.index("\n\n")):
        altered = note[:at] + ("A" if note[at] != "A" else "B") + note[at + 1 :]
        with pytest.raises(tree.NoteError):
            tree.open_checkpoint(altered, NAME, tree.public_bytes(KEY))


def test_every_altered_byte_of_the_signature_is_found() -> None:
    head, encoded = signed().removesuffix("\n").rsplit(" ", 1)
    raw = base64.b64decode(encoded)
    for at in range(len(raw)):
        altered = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(tree.NoteError):
            tree.open_checkpoint(f"{head} {base64.b64encode(altered).decode()}\n", NAME, tree.public_bytes(KEY))


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        "text",
        "text\n\n",
        f"text\n\n\u2014 {NAME} ",
        f"text\n\n\u2014 {NAME} not-base64!\n",
        f"text\n\n\u2014 {NAME} AAAA\n",
        f"text\n\n- {NAME} AAAA\n",
        "\n\n".join(["x"] * 1000),
    ],
)
def test_a_malformed_note_is_a_note_error(note: str) -> None:
    with pytest.raises(tree.NoteError):
        tree.open_checkpoint(note, NAME, tree.public_bytes(KEY))


@pytest.mark.parametrize(
    "text",
    [
        "only one line\n",
        f"{NAME}\n7\nAAAA\n",
        f"{NAME}\nseven\nAAAA\ntime 1\n",
        f"{NAME}\n7\n***\ntime 1\n",
        f"{NAME}\n7\nAAAA\ntime soon\n",
        f"{NAME}\n7\nAAAA\nmood good\n",
        f"{NAME}\n7\nAAAA\ntime 1\nmore\n",
        f"{NAME}\n{'9' * 5000}\nAAAA\ntime 1\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_a_note_error(text: str) -> None:
    with pytest.raises(tree.NoteError):
        tree.open_checkpoint(tree.sign_note(text, NAME, KEY), NAME, tree.public_bytes(KEY))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), st.text("ABCabc=+/ \n", max_size=40))
def test_no_text_passes_as_a_checkpoint(text: str, signature: str) -> None:
    with pytest.raises(tree.NoteError):
        tree.open_checkpoint(f"{text}\n\n\u2014 {NAME} {signature}\n", NAME, tree.public_bytes(KEY))


def test_a_verifier_key_comes_back() -> None:
    public = tree.public_bytes(KEY)
    text = tree.verifier_key("gw.example", public)
    assert tree.parse_verifier_key(text) == ("gw.example", public)
    assert tree.parse_verifier_key(f"  {text}\n") == ("gw.example", public)


def test_a_verifier_key_whose_base64_has_a_plus_comes_back() -> None:
    public = bytes([0xFB, 0xEF]) * 16
    text = tree.verifier_key("gw", public)
    assert text.count("+") > 2
    assert tree.parse_verifier_key(text) == ("gw", public)


GOOD = tree.verifier_key("gw.example", tree.public_bytes(KEY))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gw.example",
        "gw.example+00000000",
        GOOD.replace("gw.example", "other"),
        GOOD[:-8] + "AAAAAAA=",
        GOOD.replace(GOOD.split("+")[1], "00000000"),
        "gw+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
        "gw+00000000+***",
        "gw+00000000+é",
        GOOD + "AAAA",
    ],
)
def test_a_verifier_key_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(tree.NoteError):
        tree.parse_verifier_key(text)


@pytest.mark.parametrize("public", [b"", b"short", bytes(33)])
def test_a_key_of_the_wrong_length_verifies_nothing(public: bytes) -> None:
    assert not tree.verify(public, bytes(64), b"message")


@pytest.mark.parametrize("encoded", ["é", "\u2014", "AAAA\udc80"])
def test_a_signature_line_that_is_not_ascii_is_a_note_error(encoded: str) -> None:
    with pytest.raises(tree.NoteError):
        tree.open_checkpoint(f"text\n\n\u2014 {NAME} {encoded}\n", NAME, tree.public_bytes(KEY))


def test_a_verifier_key_with_a_name_that_is_no_text_is_a_note_error() -> None:
    with pytest.raises(tree.NoteError):
        tree.parse_verifier_key("\udc80+" + GOOD.split("+", 1)[1])
