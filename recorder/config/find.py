"""Finds and reads the configuration file; what stands in it is the parser's business."""

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from recorder.config import guard
from recorder.config.parse import Config, parse
from recorder.config.table import ConfigError

NAME = "tachograph.toml"


def find(named: Path | None, environ: Mapping[str, str]) -> Path:
    """`--config F`, else `TACHO_CONFIG`, else `./tachograph.toml`, else the user's configuration folder."""
    if named is not None:
        return named
    if environ.get("TACHO_CONFIG"):
        return Path(environ["TACHO_CONFIG"])
    here = Path(NAME)
    user = platformdirs.user_config_path("tachograph") / NAME
    if not here.exists() and user.exists():
        return user
    return here


def load(path: Path) -> Config:
    """The configuration in `path`; ConfigError when it is missing, unreadable, open to others' writing, or wrong."""
    try:
        with path.open("rb") as file:
            guard.check_file(path, os.fstat(file.fileno()).st_mode)
            text = file.read().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}: run `tacho init`, or name one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from None
    return parse(text, path)
