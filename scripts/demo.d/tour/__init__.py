"""The demo: a gateway, an SSH server behind it, and a scripted agent whose work is recorded and then reviewed."""
