"""What others may write is refused: the configuration, and what a gateway keeps. Looks at rights and owners alone."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from recorder.config.parse import Config
from recorder.config.table import ConfigError


def check_file(path: Path, mode: int) -> None:
    """ConfigError when others may write the configuration at `path` (of `mode`), or put another in its place."""
    mend = _mend(mode)
    if mend:
        raise ConfigError(f"the configuration {path} may be written by others: run `chmod {mend} {path}`")
    for folder in (path.absolute().parent, path.resolve().parent):
        check_folder(folder)


def check_folder(folder: Path) -> None:
    """ConfigError when others may replace files in a folder that holds a configuration. OSError."""
    mode = folder.stat().st_mode
    mend = _mend(mode)
    if mend and not mode & stat.S_ISVTX:
        what = f"others may replace the configuration in {folder}"
        raise ConfigError(f"{what}: run `chmod {mend} {folder}`, or move it into a folder of its own")


def check_gateway(config: Config) -> None:
    """ConfigError when another user than this process's, or root, has a hand in what its gateway goes by or keeps."""
    for fault in faults(config, os.geteuid()):
        raise ConfigError(fault)


def faults(config: Config, uid: int) -> Iterator[str]:
    """Why a gateway that runs as `uid` must not start, one sentence each with its mend."""
    for what, path in (("configuration", config.path), ("folder of the configuration", config.path.absolute().parent)):
        owner = _status(path)
        if owner is not None and owner.st_uid not in (0, uid):
            yield _belongs(what, path, owner.st_uid, uid)
    kept = (
        ("data folder", config.data),
        ("catalogue", config.catalogue),
        ("folder of keys", config.keys),
        ("folder of tapes", config.tapes),
        ("folder of the journal", config.journal),
        ("folder of sockets", config.socket.parent),
    )
    for what, path in kept:
        status = _status(path)
        if status is None:
            continue  # it is missing: whoever needs it says so
        if status.st_uid != uid:
            yield _belongs(what, path, status.st_uid, uid)
        elif mend := _mend(status.st_mode):
            yield f"the {what} {path} may be written by others: run `chmod {mend} {path}`"


def _belongs(what: str, path: Path, owner: int, uid: int) -> str:
    return f"the {what} {path} belongs to uid {owner}: run the gateway as that user, or `chown {uid} {path}`"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _mend(mode: int) -> str:
    """What chmod(1) needs to be told so that others may not write; empty when they may not."""
    return ",".join(change for change, bit in (("g-w", stat.S_IWGRP), ("o-w", stat.S_IWOTH)) if mode & bit)
