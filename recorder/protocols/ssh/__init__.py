"""SSH: `serve` ends the agent's connection and opens the target's; what is read from tapes needs no asyncssh."""
