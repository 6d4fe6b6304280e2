"""The configuration: TOML text to frozen values, and where the text is found."""

from recorder.config.find import find, load
from recorder.config.parse import Config, parse
from recorder.config.table import ConfigError

__all__ = ["Config", "ConfigError", "find", "load", "parse"]
