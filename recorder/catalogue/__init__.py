"""The catalogue: one row a session, tree heads, the rules in force, so that a list needs no tape to be opened."""
