"""Resolves references to secrets: a file, a variable, or a command without a shell. Results reach no log."""

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from recorder.model import Secret, SecretKind

_COMMAND_LIMIT_S = 5
_TTL_S = 60
_SIZE_LIMIT = 64 * 1024


class SecretError(Exception):
    """A secret cannot be had; the text names the reference, never the secret."""


class Secrets:
    """Resolves secrets; what commands print is kept for a minute."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._cached: dict[tuple[str, ...], tuple[float, bytes]] = {}

    async def resolve(self, secret: Secret, of: str) -> bytes:
        """The secret's bytes; SecretError when it cannot be had. `of` names its owner in errors."""
        if secret.kind is SecretKind.ENV:
            value = self._environ.get(secret.value[0])
            if not value:
                raise SecretError(f"the variable {secret.value[0]}, which holds the key of {of}, is not set")
            return value.encode()
        if secret.kind is SecretKind.FILE:
            return await asyncio.to_thread(_read, Path(secret.value[0]), of)
        return await self._command(secret.value, of)

    async def _command(self, command: tuple[str, ...], of: str) -> bytes:
        cached = self._cached.get(command)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        value = await asyncio.to_thread(_run, command, of)
        self._cached[command] = (time.monotonic() + _TTL_S, value)
        return value


def _read(path: Path, of: str) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise SecretError(f"the key of {of} in {path} may be read by others: run `chmod 600 {path}`")
        with path.open("rb") as file:
            return file.read(_SIZE_LIMIT)
    except OSError as error:
        raise SecretError(f"cannot read the key of {of} in {path}: {error.strerror}") from None
    except ValueError:
        raise SecretError(f"the path of the key of {of} is no path") from None


def _run(command: tuple[str, ...], of: str) -> bytes:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_LIMIT_S,
            check=False,
            env=dict(os.environ),
        )
    except subprocess.TimeoutExpired:
        raise SecretError(f"the command for the key of {of} took more than {_COMMAND_LIMIT_S} s") from None
    except OSError as error:
        raise SecretError(f"the command for the key of {of} does not start: {error.strerror}") from None
    except ValueError:
        raise SecretError(f"the command for the key of {of} is no command") from None
    if done.returncode or not done.stdout or len(done.stdout) > _SIZE_LIMIT:
        raise SecretError(f"the command for the key of {of} failed with status {done.returncode}")
    return done.stdout
