"""The `tacho` command: the reviewer's verbs, and the gateway's mounted beside them."""

from replay.cli.root import tacho

__all__ = ["tacho"]
