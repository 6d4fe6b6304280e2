"""Runs `recorder` with other constants, so that a test need not wait for the real ones: shorter limits, nothing else.

Usage: altered.py '{"MODULE:NAME": VALUE}' ARGUMENTS
"""

import importlib
import json
import runpy
import sys


def alter(constants: dict[str, float]) -> None:
    """Sets each constant; AttributeError when there is none of that name."""
    for name, value in constants.items():
        module_name, _, attribute = name.partition(":")
        module = importlib.import_module(module_name)
        getattr(module, attribute)
        setattr(module, attribute, value)


if __name__ == "__main__":
    alter(json.loads(sys.argv.pop(1)))
    sys.path[0] = ""
    runpy.run_module("recorder", run_name="__main__", alter_sys=True)
