"""The configuration: TOML text to frozen values, and where the text is found."""

from recorder.config.find import find, load
from recorder.config.parse import Config, ConfigError, parse

__all__ = ["Config", "ConfigError", "find", "load", "parse"]
