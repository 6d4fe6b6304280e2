"""Fixtures that several packages of tests use."""

import os

os.umask(0o022)  # whatever the tester's: a configuration that the group may write is refused

pytest_plugins = ("tests.servers.fixtures",)
