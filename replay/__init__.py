"""Tachograph's reviewer: opens tapes and derives everything that a person looks at."""
