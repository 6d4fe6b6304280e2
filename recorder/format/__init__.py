"""The tape: its layout, the writer that appends to it and the reader that survives whatever it finds in one."""
