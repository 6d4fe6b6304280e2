"""What ends the demo early."""


class DemoError(Exception):
    """A step failed; the text is one sentence: what, where, and the mend where there is one."""
