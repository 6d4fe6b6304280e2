"""The configuration: what it accepts, and where and how it says what is wrong."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.config import Config, ConfigError, parse
from recorder.config.template import TEMPLATE
from recorder.model import (
    Agent,
    Authority,
    Disk,
    Limits,
    Listener,
    Mode,
    Person,
    Right,
    Secret,
    SecretKind,
    Target,
    Threshold,
)

PATH = Path("/etc/tacho/tachograph.toml")

# The example of the documentation, with what this version knows.
EXAMPLE = """\
[gateway]
data      = "var"                         # tapes, catalogue, keys, derived caches; relative to this file
catalogue = "sqlite"
store     = "file"
workers   = 1

[record]
mode       = "strict"

[[listen]]
protocol = "ssh"
address  = "127.0.0.1:2222"
[[listen]]
protocol = "ssh"
address  = "127.0.0.1:2201"
target   = "web1"

[[target]]
name = "web1"
protocol = "ssh"
address = "10.0.0.5:22"
logins  = ["deploy", "root"]
key     = "file:keys/web1"
host_key = "ssh-ed25519 AAAA"

[[target]]
name = "web2"
address = "web2.example"
logins  = ["deploy"]
key     = ["vault", "read", "-field=key", "ssh/web2"]
known_hosts = "known_hosts"

[[agent]]
name   = "ci-deployer"
keys   = ["ssh-ed25519 AAAA"]
targets = ["web*", "orders"]
"""

TARGET = """\
[[target]]
name = "web1"
address = "10.0.0.5"
logins = ["deploy"]
key = "env:KEY"
host_key = "ssh-ed25519 AAAA"
"""


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, PATH)
    return str(caught.value)


def with_line(line: str, *, instead_of: str | None = None) -> str:
    """TARGET with one more line, or with the line of a key replaced."""
    if instead_of is None:
        return TARGET + line + "\n"
    return re.sub(rf"(?m)^{instead_of} = .*$", lambda _: line, TARGET)


def test_the_documented_example_parses() -> None:
    config = parse(EXAMPLE, PATH)
    assert config == Config(
        path=PATH,
        data=Path("/etc/tacho/var"),
        listeners=(Listener("ssh", "127.0.0.1", 2222), Listener("ssh", "127.0.0.1", 2201, "web1")),
        targets=(
            Target(
                "web1",
                "ssh",
                "10.0.0.5",
                22,
                ("deploy", "root"),
                Secret(SecretKind.FILE, ("/etc/tacho/keys/web1",)),
                ("ssh-ed25519 AAAA",),
            ),
            Target(
                "web2",
                "ssh",
                "web2.example",
                22,
                ("deploy",),
                Secret(SecretKind.COMMAND, ("vault", "read", "-field=key", "ssh/web2")),
                (),
                "/etc/tacho/known_hosts",
            ),
        ),
        agents=(Agent("ci-deployer", ("ssh-ed25519 AAAA",), ("web*", "orders")),),
        text=EXAMPLE,
    )


def test_the_data_folder_holds_catalogue_tapes_and_keys() -> None:
    config = parse(EXAMPLE, PATH)
    assert config.catalogue == Path("/etc/tacho/var/catalogue.db")
    assert config.tapes == Path("/etc/tacho/var/tapes")
    assert config.keys == Path("/etc/tacho/var/keys")


def test_nothing_at_all_is_a_configuration_with_defaults() -> None:
    config = parse("", PATH)
    assert config.data == Path("/etc/tacho/var")
    assert not config.listeners
    assert not config.targets
    assert not config.agents


def test_the_template_of_init_parses_and_so_does_its_commented_part() -> None:
    config = parse(TEMPLATE, PATH)
    assert config.listeners == (Listener("ssh", "127.0.0.1", 2222),)
    uncommented = re.sub(r"(?m)^# (?=\[\[|[a-z_]+ +=)", "", TEMPLATE)
    config = parse(uncommented, PATH)
    assert [target.name for target in config.targets] == ["web1"]
    assert [agent.name for agent in config.agents] == ["ci-deployer"]
    assert config.listeners[0].target == "web1"


@pytest.mark.parametrize(
    ("text", "line", "key", "near"),
    [
        ("colour = 1\n", 1, "colour", None),
        ("\n\n[gatway]\n", 3, "gatway", "gateway"),
        ("[[targets]]\n", 1, "targets", "target"),
        ("[gateway]\n\ndate = 'x'\n", 3, "date", "data"),
        ("[gateway]\nstor = 'x'\n", 2, "stor", "store"),
        ("[record]\nmodes = 'x'\n", 2, "modes", "mode"),
        ("[[listen]]\nadress = 'x'\n", 2, "adress", "address"),
        (with_line("hostkey = 'x'"), 7, "hostkey", "host_key"),
        (with_line("login = ['x']"), 7, "login", "logins"),
        (TARGET + TARGET.replace("web1", "web2") + "knownhosts = 'x'\n", 13, "knownhosts", "known_hosts"),
        ("[[agent]]\nname = 'a'\n[[agent]]\nname = 'b'\n'key' = []\n", 5, "key", "keys"),
        ("[[agent]]\nname = 'a'\nfrobnicate = 1\n", 3, "frobnicate", None),
        ("[gateway]\ndata = 'x'\nlimits.idle = '1h'\n", 3, "limits", None),
    ],
)
def test_an_unknown_key_names_its_line_and_the_nearest_known_key(
    text: str, line: int, key: str, near: str | None
) -> None:
    said = error_of(text)
    assert said.startswith(f"{PATH}, line {line}: ")
    assert repr(key) in said
    assert (f"did you mean {near!r}?" if near else "; known are ") in said


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("[policy]\ndefault = 'deny'\n", "policy"),
        ("[approvals]\nwebhook = 'x'\n", "approvals"),
        ("[[issuer]]\nname = 'x'\n", "issuer"),
        ("[[rule]]\nname = 'x'\n", "rule"),
        ("[[sink]]\nto = 'x'\n", "sink"),
        ("[record]\nrecipients = ['age1x']\n", "recipients"),
        ("[record]\nretention = '400d'\n", "retention"),
        ("[gateway]\nindex = true\n", "index"),
        ("[gateway]\nwitness = 'https://x'\n", "witness"),
        ("[gateway]\nname = 'gw1'\n", "name"),
        ("[[listen]]\naddress = 'a:1'\ntls = { certificate = 'x' }\n", "tls"),
        ("[[listen]]\naddress = 'a:1'\nproxy_protocol = false\n", "proxy_protocol"),
        (with_line("password = 'env:X'"), "password"),
        (with_line("database = 'orders'"), "database"),
        ("[[agent]]\nname = 'a'\ntokens = ['sha256:x']\n", "tokens"),
        ("[limits]\nmessage = '1GiB'\n", "message"),
        ("[[person]]\nname = 'a'\nlogin = { issuer = 'x' }\n", "login"),
    ],
)
def test_a_feature_that_is_not_built_is_refused_like_an_unknown_one(text: str, table: str) -> None:
    said = error_of(text)
    assert "unknown" in said
    assert repr(table) in said


@pytest.mark.parametrize(
    ("text", "line", "value"),
    [
        ("[gateway]\ncatalogue = 'postgresql://x'\n", 2, "'sqlite'"),
        ("[gateway]\nstore = 's3://bucket/prefix'\n", 2, "'file'"),
        ("[gateway]\nworkers = 2\n", 2, "1"),
        ("[gateway]\nworkers = true\n", 2, "1"),
        ("[gateway]\nworkers = []\n", 2, "1"),
        ("[record]\nmode = 'loose'\n", 2, "'strict', 'durable', 'best-effort'"),
        ("[[listen]]\nprotocol = 'postgres'\naddress = 'a:1'\n", 2, "'ssh'"),
        (with_line("protocol = 'mysql'"), 7, "'ssh'"),
    ],
)
def test_a_value_that_is_not_built_is_refused_with_those_that_are(text: str, line: int, value: str) -> None:
    said = error_of(text)
    assert said.startswith(f"{PATH}, line {line}: ")
    assert f"this version knows {value}" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gateway = 1\n", 1),
        ("\nrecord = 'strict'\n", 2),
        ("listen = 'x'\n", 1),
        ("[listen]\nprotocol = 'ssh'\n", 1),
        ("[target]\nname = 'x'\n", 1),
        ("agent = [1]\n", 1),
        ("[gateway]\ndata = 3\n", 2),
        ("[gateway]\ndata = ''\n", 2),
        ("[[listen]]\nprotocol = 'ssh'\n", 1),
        ("[[listen]]\naddress = 2222\n", 2),
        ("[[listen]]\naddress = ['x']\n", 2),
        ("[[listen]]\naddress = 'a:1'\ntarget = 'web1'\n", 3),
        ("[[listen]]\naddress = 'a:1'\ntarget = 1\n", 3),
        (with_line("name = 1", instead_of="name"), 2),
        (with_line("name = ''", instead_of="name"), 2),
        (with_line("name = 'a b'", instead_of="name"), 2),
        (with_line("name = 'web1@x'", instead_of="name"), 2),
        (with_line("name = '-x'", instead_of="name"), 2),
        (with_line(f"name = '{'x' * 64}'", instead_of="name"), 2),
        (with_line("name = 'web1\\n'".replace("'", '"'), instead_of="name"), 2),
        (with_line("logins = 'deploy'", instead_of="logins"), 4),
        (with_line("logins = []", instead_of="logins"), 4),
        (with_line("logins = ['']", instead_of="logins"), 4),
        (with_line("logins = ['a', 1]", instead_of="logins"), 4),
        (with_line("key = 1", instead_of="key"), 5),
        (with_line("key = 'hunter2'", instead_of="key"), 5),
        (with_line("key = ['a', 1]", instead_of="key"), 5),
        (with_line("host_key = 1", instead_of="host_key"), 6),
        (with_line("host_key = [1]", instead_of="host_key"), 6),
        (with_line("known_hosts = 1"), 7),
        (with_line("key = { file = 'x' }", instead_of="key"), 5),
        (with_line("", instead_of="address"), 1),
        (with_line("", instead_of="logins"), 1),
        (with_line("", instead_of="name"), 1),
        ("[[agent]]\nkeys = []\n", 1),
        ("[[agent]]\nname = 'a'\nkeys = 'ssh-ed25519 AAAA'\n", 3),
        ("[[agent]]\nname = 'a'\ntargets = { }\n", 3),
        ("[[agent]]\nname = 1979-05-27\n", 2),
    ],
)
def test_a_wrong_type_or_value_is_one_sentence_with_its_line(text: str, line: int) -> None:
    said = error_of(text)
    assert said.startswith(f"{PATH}, line {line}: ")
    assert said.isprintable()


def test_what_is_not_toml_says_where() -> None:
    said = error_of("[gateway]\ndata = \n")
    assert said.startswith(f"{PATH}: not valid TOML: ")
    assert "line 2" in said


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.5:22", "10.0.0.5", 22),
        ("10.0.0.5", "10.0.0.5", 22),
        ("web.example:2222", "web.example", 2222),
        ("[::1]:2222", "::1", 2222),
        ("[::1]", "::1", 22),
        ("::1", "::1", 22),
        ("2001:db8::5", "2001:db8::5", 22),
        ("[fe80::1%eth0]:22", "fe80::1%eth0", 22),
        ("h:65535", "h", 65535),
    ],
)
def test_an_address_may_be_a_name_or_ipv4_or_ipv6(address: str, host: str, port: int) -> None:
    (target,) = parse(with_line(f"address = '{address}'", instead_of="address"), PATH).targets
    assert (target.host, target.port) == (host, port)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "[::1]", ":22", "[]:22", "h:", "h:ssh", "h:65536", "h:-1", "h:²", ":"]
)
def test_a_listener_needs_host_and_port(address: str) -> None:
    said = error_of(f"[[listen]]\naddress = '{address}'\n")
    assert said.startswith(f"{PATH}, line 2: ")
    assert "HOST:PORT" in said


def test_a_listener_on_port_zero_lets_the_system_choose() -> None:
    (listener,) = parse("[[listen]]\naddress = '[::]:0'\n", PATH).listeners
    assert (listener.host, listener.port) == ("::", 0)


def test_paths_are_relative_to_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    monkeypatch.chdir(tmp_path)
    text = (
        TARGET.replace("env:KEY", "file:../keys/web1")
        + "known_hosts = '~/.ssh/known_hosts'\n[gateway]\ndata = '/srv/t'\n"
    )
    config = parse(text, Path("conf/tachograph.toml"))
    assert config.data == Path("/srv/t")
    assert config.targets[0].key == Secret(SecretKind.FILE, (str(tmp_path / "conf/../keys/web1"),))
    assert config.targets[0].known_hosts == "/home/ana/.ssh/known_hosts"


@pytest.mark.parametrize(
    "key", ["hunter2", "password:hunter2", "file:", "env:", "hunter2:", ":hunter2", "FILE:hunter2"]
)
def test_a_literal_secret_is_refused_and_not_repeated(key: str) -> None:
    said = error_of(with_line(f"key = '{key}'", instead_of="key"))
    assert "never the secret itself" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("table", ["agent", "target"])
def test_a_second_table_of_a_name_is_refused_at_its_line(table: str) -> None:
    text = TARGET * 2 if table == "target" else "[[agent]]\nname = 'web1'\n" * 2
    said = error_of(text)
    assert said.startswith(f"{PATH}, line {8 if table == 'target' else 4}: ")
    assert f"a second [[{table}]] with the name 'web1'" in said


def test_an_agent_and_a_target_may_share_a_name() -> None:
    assert parse(TARGET + "[[agent]]\nname = 'web1'\n", PATH).agents[0].name == "web1"


@pytest.mark.parametrize("line", ["", "host_key = []"])
def test_a_target_without_a_host_key_says_how_to_get_it(line: str) -> None:
    text = with_line(line, instead_of="host_key").replace("10.0.0.5", "[2001:db8::5]:2200")
    said = error_of(text)
    assert "ssh-keyscan -t ed25519 -p 2200 2001:db8::5" in said
    assert "set host_key" in said


def test_a_target_without_a_key_gets_the_one_that_init_made() -> None:
    text = with_line("", instead_of="key") + "[gateway]\ndata = '/srv/t'\n"
    assert parse(text, PATH).targets[0].key == Secret(SecretKind.FILE, ("/srv/t/keys/upstream",))


def test_several_host_keys_may_be_given() -> None:
    text = with_line("host_key = ['ssh-ed25519 A', 'ssh-rsa B']", instead_of="host_key")
    assert parse(text, PATH).targets[0].host_keys == ("ssh-ed25519 A", "ssh-rsa B")


def test_a_listener_of_an_unknown_target_names_the_nearest() -> None:
    said = error_of(TARGET + "[[listen]]\naddress = 'a:1'\ntarget = 'wed1'\n")
    assert "line 9" in said
    assert "did you mean 'web1'?" in said


def test_no_error_is_longer_than_a_sentence_for_a_huge_value() -> None:
    assert len(error_of(f"[[listen]]\naddress = '{'x' * 100_000}'\n")) < 1000


WORDS = st.sampled_from(
    [
        *(
            "[gateway]\n",
            "[[target]]\n",
            "[[agent]]\n",
            "[[listen]]\n",
            "[record]\n",
            "name = ",
            "address = ",
            "key = ",
        ),
        *("logins = ", "keys = ", "targets = ", "data = ", "target = ", "host_key = ", "known_hosts = ", "workers = "),
        *('"web1"\n', '"a:1"\n', '["x"]\n', "[]\n", "{}\n", "1\n", "true\n", '""\n', '"file:x"\n', "1.5\n", "nan\n"),
        *('"\\u0000"\n', '"\\u001b[2J"\n', "'''\n[agent]\n'''\n", "1979-05-27\n", "-\n", "\n"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(WORDS, max_size=14).map("".join), st.text(max_size=60)))
def test_only_a_config_error_escapes_and_it_is_printable(text: str) -> None:
    try:
        parse(text, PATH)
    except ConfigError as error:
        assert str(error).isprintable()  # noqa: PT017 - most texts fail, some parse


@pytest.mark.parametrize(
    "text",
    [f"[[listen]]\naddress = 'h:{'9' * 5000}'\n", f"[gateway]\nworkers = {'9' * 5000}\n", f"x = {'[' * 5000}\n"],
    ids=["a port of 5,000 digits", "a number of 5,000 digits", "nesting of 5,000"],
)
def test_an_extreme_value_is_a_config_error(text: str) -> None:
    error_of(text)


def test_an_empty_command_is_no_secret() -> None:
    said = error_of(with_line("key = []", instead_of="key"))
    assert said.startswith(f"{PATH}, line 5: ")


def test_an_address_with_control_characters_is_printed_safely() -> None:
    assert error_of('[[listen]]\naddress = "\\u001b[2J"\n').isprintable()
    assert error_of(with_line('address = "\\u001b[2J"', instead_of="address")).isprintable()


@pytest.mark.parametrize("home", ["~nobody-of-that-name/x", "~\\u0000/x"], ids=["unknown", "NUL"])
def test_a_home_folder_that_does_not_exist_is_a_config_error(home: str) -> None:
    error_of(f'[gateway]\ndata = "{home}"\n')


def test_the_limits_have_defaults_and_units() -> None:
    assert parse("", PATH).limits == Limits()
    text = """
[limits]
sessions_per_agent = 5
sessions_per_target = 7
unauthenticated = 3
login = "500ms"
idle = "2d"
disk = { warn = "20%", refuse = "1.5GiB", end = "512KiB" }
"""
    assert parse(text, PATH).limits == Limits(
        5, 7, 3, 0.5, 172800, Disk(Threshold(0.2), Threshold(size=3 << 29), Threshold(size=512 << 10))
    )


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("idle = 60", 'idle = "1h"'),
        ("idle = '1 h'", 'idle = "1h"'),
        ("login = '0s'", 'login = "30s"'),
        ("unauthenticated = 0", "unauthenticated = 64"),
        ("unauthenticated = true", "unauthenticated = 64"),
        ("sessions_per_agent = '5'", "sessions_per_agent = 100"),
        ("disk = '5%'", 'end = "1%"'),
        ("disk = { warn = '101%' }", 'warn = "10%"'),
        ("disk = { warn = 5 }", 'warn = "10%"'),
        ("disk = { end = '5 parsec' }", 'end = "1%"'),
    ],
)
def test_a_limit_that_is_none_is_refused_with_an_example(text: str, example: str) -> None:
    said = error_of(f"[limits]\n{text}\n")
    assert said.startswith(f"{PATH}, line ")
    assert example in said


def test_an_unknown_disk_threshold_names_the_nearest() -> None:
    assert "did you mean 'refuse'?" in error_of("[limits]\ndisk = { refuze = '5%' }\n")


def test_persons_authorities_and_what_a_target_forwards() -> None:
    text = f"""
{with_line("forward = ['127.0.0.1:5432', '[::1]:80']")}
[[agent]]
name = "ci"
os_user = "ci"
[[authority]]
key = "ssh-ed25519 AAAA"
agents = ["ci-*"]
[[person]]
name = "ana"
groups = ["ops"]
os_user = "ana"
may = ["read", "admin"]
[record]
mode = "best-effort"
"""
    config = parse(text, PATH)
    assert config.targets[0].forward == (("127.0.0.1", 5432), ("::1", 80))
    assert config.agents == (Agent("ci", os_user="ci"),)
    assert config.authorities == (Authority("ssh-ed25519 AAAA", ("ci-*",)),)
    assert config.persons == (Person("ana", ("ops",), "ana", frozenset({Right.READ, Right.ADMIN})),)
    assert config.mode is Mode.BEST_EFFORT


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[person]]\nname = 'a'\nmay = ['reed']\n", "did you mean 'read'?"),
        ("[[person]]\nname = 'a'\nos_user = 'x'\n[[person]]\nname = 'b'\nos_user = 'x'\n", "two persons"),
        ("[[authority]]\nkey = 'x'\n", "an authority needs agents"),
        ("[[authority]]\nagents = ['*']\n", "needs the key 'key'"),
        (with_line("forward = ['5432']"), "not HOST:PORT"),
        (with_line("forward = '127.0.0.1:5432'"), "array of strings"),
    ],
)
def test_persons_and_authorities_that_are_wrong_are_refused(text: str, what: str) -> None:
    assert what in error_of(text)
