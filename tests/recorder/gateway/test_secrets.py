"""Where a credential comes from, and that it shows nowhere else."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest

from recorder.gateway import secrets
from recorder.gateway.secrets import SecretError, Secrets
from recorder.model import Secret, SecretKind

PLANTED = "hunter2-planted"


def resolve(secret: Secret, environ: dict[str, str] | None = None) -> bytes:
    return asyncio.run(Secrets(environ or {}).resolve(secret, "target web1"))


def command(*arguments: str) -> Secret:
    return Secret(SecretKind.COMMAND, arguments)


def python(code: str, *arguments: str) -> Secret:
    return command(sys.executable, "-c", code, *arguments)


def refusal(secret: Secret, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SecretError) as caught:
        resolve(secret, environ)
    said = str(caught.value)
    assert "target web1" in said
    assert PLANTED not in said
    assert "\n" not in said
    return said


def test_a_variable_gives_its_bytes() -> None:
    assert resolve(Secret(SecretKind.ENV, ("KEY",)), {"KEY": "caf\u00e9"}) == "café".encode()


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}])
def test_a_variable_that_is_not_set_is_named(environ: dict[str, str]) -> None:
    assert "KEY" in refusal(Secret(SecretKind.ENV, ("KEY",)), environ)


def test_the_environment_is_the_one_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", PLANTED)
    refusal(Secret(SecretKind.ENV, ("KEY",)))


def file(path: Path, content: bytes = b"secret\n", mode: int = 0o600) -> Secret:
    path.write_bytes(content)
    path.chmod(mode)
    return Secret(SecretKind.FILE, (str(path),))


def test_a_file_gives_its_bytes_as_they_are(tmp_path: Path) -> None:
    assert resolve(file(tmp_path / "key", b"a\x00b\n\n")) == b"a\x00b\n\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_file_that_others_may_open_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    assert f"chmod 600 {tmp_path / 'key'}" in refusal(file(tmp_path / "key", PLANTED.encode(), mode))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refusal(Secret(SecretKind.FILE, (str(tmp_path / "none"),)))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    refusal(Secret(SecretKind.FILE, (str(tmp_path),)))


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    async def twice() -> tuple[bytes, bytes]:
        known = Secrets({})
        first = await known.resolve(file(tmp_path / "key", b"one"), "x")
        return first, await known.resolve(file(tmp_path / "key", b"two"), "x")

    assert asyncio.run(twice()) == (b"one", b"two")


def test_a_command_gives_what_it_prints() -> None:
    assert resolve(python("import sys; sys.stdout.write(sys.argv[1])", "a b; $(id) `id` *")) == b"a b; $(id) `id` *"


def test_a_command_has_no_input() -> None:
    assert resolve(python("import sys; print(repr(sys.stdin.read()))")) == b"''\n"


@pytest.mark.parametrize(
    "code",
    [
        f"import sys; print('{PLANTED}'); sys.exit(3)",
        f"import sys; sys.stderr.write('{PLANTED}'); sys.exit(1)",
        f"import sys; sys.stderr.write('{PLANTED}')",
        "print('x' * 70000)",
        "import os; os.kill(os.getpid(), 9)",
    ],
    ids=["fails after printing", "fails", "prints nothing", "prints too much", "dies"],
)
def test_a_command_that_fails_is_refused_and_nothing_it_printed_is_repeated(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert "failed with status" in refusal(python(code))
    assert PLANTED not in caplog.text


def test_a_command_that_does_not_exist_is_refused() -> None:
    assert "does not start" in refusal(command("/nonexistent/vault"))


def test_a_command_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(secrets, "_COMMAND_LIMIT_S", 0.5)
    pid = tmp_path / "pid"
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    assert "took more than" in refusal(python(code, str(pid)))
    if pid.exists() and pid.read_text():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


COUNTING = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.open('a').write('x'); print(len(p.read_text()))"


def test_what_a_command_printed_is_kept_for_a_while(tmp_path: Path) -> None:
    async def thrice() -> list[bytes]:
        known = Secrets({})
        same = python(COUNTING, str(tmp_path / "a"))
        other = python(COUNTING, str(tmp_path / "b"))
        return [await known.resolve(secret, "x") for secret in (same, same, other)]

    assert asyncio.run(thrice()) == [b"1\n", b"1\n", b"1\n"]
    assert (tmp_path / "a").read_text() == "x"


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = "import os, sys; sys.exit(1) if not os.path.exists(sys.argv[1]) else print('now')"

    async def retry() -> bytes:
        known = Secrets({})
        with pytest.raises(SecretError):
            await known.resolve(python(code, str(flag)), "x")
        flag.touch()
        return await known.resolve(python(code, str(flag)), "x")

    assert asyncio.run(retry()) == b"now\n"


@pytest.mark.parametrize(
    "secret",
    [Secret(SecretKind.COMMAND, ("a\x00b",)), Secret(SecretKind.FILE, ("/tmp/a\x00b",))],
    ids=["command", "file"],
)
def test_a_reference_with_nul_is_a_secret_error(secret: Secret) -> None:
    refusal(secret)
