"""Fixtures that several packages of tests use."""

pytest_plugins = ("tests.servers.fixtures",)
