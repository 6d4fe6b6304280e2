"""Tachograph's recorder: stands in the data path between an agent and its targets and writes tapes."""

__version__ = "0.1.0"
