"""Finds and reads the configuration file; what stands in it is the parser's business."""

from collections.abc import Mapping
from pathlib import Path

import platformdirs

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
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}: run `tacho init`, or name one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from None
    if mode & 0o002:
        raise ConfigError(f"the configuration {path} may be written by anybody: run `chmod o-w {path}`")
    return parse(text, path)
