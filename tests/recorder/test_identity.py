"""Who an agent is and what it names."""

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import identity
from recorder.model import Agent, Attribution, Authority, Secret, SecretKind, Source, Target
from recorder.protocol import Certificate, Knock


def target(name: str, *logins: str) -> Target:
    return Target(name, "ssh", "10.0.0.5", 22, logins, Secret(SecretKind.FILE, ("key",)))


WEB = target("web1", "deploy", "root")
ORDERS = target("orders", "app")
ODD = target("db.example-1", "who@ldap")
TARGETS = (WEB, ORDERS, ODD)


@pytest.mark.parametrize(
    ("user", "name", "login"),
    [
        ("web1", "web1", "deploy"),
        ("root@web1", "web1", "root"),
        ("app@orders", "orders", "app"),
        ("@web1", "web1", "deploy"),
        ("who@ldap@db.example-1", "db.example-1", "who@ldap"),  # split at the last @
        ("web1@orders", "orders", "web1"),
        ("deploy@orders@web1", "web1", "deploy@orders"),
        ("nobody@web1", "web1", "nobody"),  # whether the login is allowed is asked later
        ("日本@web1", "web1", "日本"),
    ],
)
def test_a_user_name_names_target_and_login(user: str, name: str, login: str) -> None:
    found, asked = identity.destination(user, None, TARGETS)
    assert (found.name, asked) == (name, login)


@pytest.mark.parametrize(
    "user", ["", "@", "web2", "root@web2", "web1@", "web1 ", "WEB1", "deploy@web1@gateway", "web*"]
)
def test_a_user_name_that_leads_nowhere_is_one_sentence(user: str) -> None:
    with pytest.raises(identity.Unknown) as caught:
        identity.destination(user, None, TARGETS)
    assert "\n" not in str(caught.value)
    assert "TARGET@GATEWAY" in str(caught.value)


@pytest.mark.parametrize(
    ("user", "login"),
    [
        ("deploy", "deploy"),
        ("root", "root"),
        ("web1", "deploy"),
        ("root@web1", "root"),
        ("@web1", "deploy"),
        ("somebody@corp", "somebody@corp"),  # the whole name is the login: corp is no target
        ("orders", "orders"),
    ],
)
def test_on_a_port_of_the_targets_own_the_user_name_is_the_login(user: str, login: str) -> None:
    assert identity.destination(user, "web1", TARGETS) == (WEB, login)


def test_a_user_name_that_disagrees_with_the_port_is_refused() -> None:
    with pytest.raises(identity.Unknown, match="this port leads to web1, not to orders"):
        identity.destination("app@orders", "web1", TARGETS)


def test_an_unknown_target_cannot_write_to_a_terminal() -> None:
    with pytest.raises(identity.Unknown) as caught:
        identity.destination("x@\x1b[2J\n\u202e", None, TARGETS)
    assert str(caught.value).isprintable()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=30), st.sampled_from([None, "web1", "orders"]))
def test_any_user_name_is_a_destination_or_unknown(user: str, fixed: str | None) -> None:
    try:
        found, login = identity.destination(user, fixed, TARGETS)
    except identity.Unknown:
        return
    assert found in TARGETS
    assert fixed in (None, found.name)
    assert login in user or login == found.logins[0]


def ssh_string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def line_of(kind: str, body: bytes, comment: str = "") -> str:
    return f"{kind} {base64.b64encode(ssh_string(kind.encode()) + ssh_string(body)).decode()} {comment}".rstrip()


ED25519 = line_of("ssh-ed25519", bytes(range(32)), "ana@laptop with words")


def test_a_public_key_line_holds_its_blob() -> None:
    blob = ssh_string(b"ssh-ed25519") + ssh_string(bytes(range(32)))
    assert identity.key_blob(ED25519) == blob
    assert identity.key_blob(f"  {ED25519}\n") == blob


def test_a_fingerprint_is_written_as_ssh_keygen_does() -> None:
    blob = identity.key_blob(ED25519)
    expected = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    assert identity.fingerprint(blob) == f"SHA256:{expected}"
    assert len(expected) == 43


HOSTILE = [
    "",
    " ",
    "ssh-ed25519",
    "ssh-ed25519 ***",
    "ssh-ed25519 é",
    "ssh-ed25519 AAAA",
    "ssh-ed25519 " + base64.b64encode(b"\xff\xff\xff\xffssh-ed25519").decode(),
    line_of("ssh-rsa", b"x").replace("ssh-rsa", "ssh-ed25519"),
    "\udc80 AAAA",
    "ssh-ed25519 \udc80",
    "x" * 100_000 + " " + "A" * 100_000,
    'command="id" ' + ED25519,
    "-----BEGIN OPENSSH PRIVATE KEY-----",
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_line_that_is_no_public_key_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        identity.key_blob(line)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters()), st.text(st.characters()))
def test_any_text_is_a_key_or_a_value_error(kind: str, rest: str) -> None:
    try:
        identity.key_blob(f"{kind} {rest}")
    except ValueError:
        return


def test_a_key_field_that_is_not_ascii_gets_the_sentence_of_one_that_is_not_base64() -> None:
    with pytest.raises(ValueError, match="second field is not base64"):
        identity.key_blob("ssh-ed25519 é")


def test_a_keyring_finds_each_agent_by_each_of_its_keys() -> None:
    keys = [line_of("ssh-ed25519", bytes([number]) * 32) for number in range(3)]
    first, second = Agent("a", (keys[0], keys[1], keys[0])), Agent("b", (keys[2],))
    ring = identity.keyring([first, second, Agent("c")])
    assert [ring[identity.key_blob(key)].name for key in keys] == ["a", "a", "b"]
    assert len(ring) == 3


def test_a_key_that_two_agents_share_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'a' and 'b' have the same key"):
        identity.keyring([Agent("a", (ED25519,)), Agent("b", (ED25519,))])


def test_a_malformed_key_names_its_agent() -> None:
    with pytest.raises(ValueError, match="agent 'ci': "):
        identity.keyring([Agent("ci", ("ssh-ed25519 AAAA",))])


CA = Authority(line_of("ssh-ed25519", bytes([7]) * 32), ("ci-*",))
OTHER_CA = Authority(line_of("ssh-rsa", bytes([8]) * 64, "the other"), ("ci-?", "ana"))


def test_authorities_are_found_by_their_keys() -> None:
    ring = identity.authorities([CA, OTHER_CA])
    assert ring == {identity.key_blob(CA.key): CA, identity.key_blob(OTHER_CA.key): OTHER_CA}
    assert identity.authorities([]) == {}


@pytest.mark.parametrize("key", ["", "ssh-ed25519 AAAA", CA.key[:40], CA.key[:-4], f"cert-authority {CA.key}"])
def test_a_malformed_authority_is_named_by_its_position(key: str) -> None:
    with pytest.raises(ValueError, match=r"\[\[authority\]\] number 2: ") as caught:
        identity.authorities([CA, Authority(key, ("*",))])
    assert "\n" not in str(caught.value)


def test_two_authorities_with_one_key_are_refused() -> None:
    again = Authority(f"{CA.key} another comment", ("web-*",))
    with pytest.raises(ValueError, match=r"number 3 has the same key as number 1: put the agents of both into one"):
        identity.authorities([CA, OTHER_CA, again])


AGENTS = (Agent("ci-a"), Agent("ci-b"), Agent("ana"), Agent("ci*"))


@pytest.mark.parametrize(
    ("principals", "name"),
    [
        (["ci-a"], "ci-a"),
        (["ci-b", "ci-b"], "ci-b"),
        (["root", "ana", "ci-a"], "ci-a"),  # root is no agent, ana none of this authority's
        (["deploy", "CI-A", "ci-b"], "ci-b"),
    ],
)
def test_a_certificate_names_the_one_agent_that_qualifies(principals: list[str], name: str) -> None:
    assert identity.certified(principals, CA, AGENTS).name == name


@pytest.mark.parametrize(
    ("principals", "sentence"),
    [
        ([], "it has no principals"),
        (["root"], 'no agent has the name of one of its principals: "root"'),
        (["", "*", "ci-?"], 'no agent has the name of one of its principals: "", "*", "ci-?"'),
        (["a", "b", "c", "d", "e"], '"a", "b", "c" and 2 more'),
        (["ana"], 'its authority may not name "ana"'),
        (["ci*"], 'its authority may not name "ci*"'),  # a name that looks like a glob is none
        (["ci-b", "ci-a"], 'its principals name several agents, "ci-a", "ci-b": sign it for one of them'),
        (["\x1b[2J\n"], r'"\e[2J\n"'),
    ],
)
def test_a_certificate_that_names_no_agent_is_one_sentence(principals: list[str], sentence: str) -> None:
    with pytest.raises(identity.Unknown) as caught:
        identity.certified(principals, CA, AGENTS)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()


def knock(key_id: str | None) -> Knock:
    certificate = None if key_id is None else Certificate(key_id, 9, identity.key_blob(CA.key), ("ci-a",), 5, None)
    return Knock(Agent("ci-a"), "SHA256:x", "127.0.0.1:5", "web1", None, "SSH-2.0-x", certificate)


def test_a_certificate_says_for_whom_and_is_believed() -> None:
    who = identity.attribution(knock("ana@laptop"), "minted")
    assert (who.agent, who.run, who.on_behalf_of, who.unattributed) == ("ci-a", "minted", "ana@laptop", False)
    assert who.sources["on_behalf_of"] is Source.VERIFIED
    assert identity.asserted(who, {"on_behalf_of": "mallory"}) is who


@pytest.mark.parametrize("key_id", [None, ""])
def test_without_a_key_id_nobody_is_named(key_id: str | None) -> None:
    assert identity.attribution(knock(key_id), "minted") == identity.by_key(
        Agent("ci-a"), "SHA256:x", "127.0.0.1:5", "minted"
    )


def test_the_open_frame_holds_what_a_certificate_says() -> None:
    assert identity.certificate_facts(None) == {}
    certificate = {
        "key_id": "ana",
        "serial": 9,
        "authority": identity.fingerprint(identity.key_blob(CA.key)),
        "principals": ["ci-a"],
        "valid_from": 5,
        "valid_until": None,
    }
    assert identity.certificate_facts(knock("ana").certificate) == {
        "certificate": certificate,
        "on_behalf_of": "ana",
        "unattributed": False,
    }
    assert identity.certificate_facts(knock("").certificate) == {"certificate": certificate | {"key_id": ""}}


def known() -> Attribution:
    return identity.by_key(Agent("ci"), "SHA256:x", "127.0.0.1:5", "minted")


def test_an_agent_known_by_its_key_is_verified_and_its_run_observed() -> None:
    who = known()
    assert (who.agent, who.run, who.credential, who.client) == ("ci", "minted", "SHA256:x", "127.0.0.1:5")
    assert who.sources == {
        "agent": Source.VERIFIED,
        "credential": Source.VERIFIED,
        "client": Source.OBSERVED,
        "run": Source.OBSERVED,
    }
    assert who.unattributed


def test_what_an_agent_says_of_itself_is_asserted() -> None:
    who = identity.asserted(known(), {"run": "r1", "request": "JIRA-1", "on_behalf_of": "ana"})
    assert (who.run, who.request, who.on_behalf_of) == ("r1", "JIRA-1", "ana")
    assert all(who.sources[name] is Source.ASSERTED for name in identity.ASSERTED_FIELDS)
    assert who.sources["agent"] is Source.VERIFIED


def test_what_was_asserted_first_stays() -> None:
    first = identity.asserted(known(), {"run": "r1"})
    second = identity.asserted(first, {"run": "r2", "request": "later"})
    assert (second.run, second.request) == ("r1", "later")


@pytest.mark.parametrize("name", identity.ASSERTED_FIELDS)
def test_an_assertion_never_overwrites_what_is_verified(name: str) -> None:
    proven = Attribution(
        "ci",
        "proven",
        request="proven",
        on_behalf_of="proven",
        sources=dict.fromkeys(identity.ASSERTED_FIELDS, Source.VERIFIED),
    )
    assert identity.asserted(proven, {name: "lie"}) is proven


@pytest.mark.parametrize("facts", [{}, {"run": ""}, {"agent": "root", "credential": "x", "client": "y"}, {"name": "z"}])
def test_nothing_new_leaves_the_tuple_as_it_is(facts: dict[str, str]) -> None:
    who = known()
    assert identity.asserted(who, facts) is who


def test_an_assertion_leaves_the_earlier_tuple_alone() -> None:
    who = known()
    identity.asserted(who, {"run": "r1"})
    assert who.run == "minted"
    assert who.sources["run"] is Source.OBSERVED
