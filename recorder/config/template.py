"""The commented configuration that `tacho init` writes."""

TEMPLATE = """\
# Tachograph. Paths are relative to this file; an unknown key is an error.

[gateway]
data = "var"                       # tapes, catalogue, keys, sockets

[record]
mode = "strict"                    # at most 250 ms of forwarded traffic is not yet on disk (or durable, best-effort)

[[listen]]
protocol = "ssh"
address  = "127.0.0.1:2222"
# target = "web1"                  # optional: this port leads to that target only

# Five lines a server. Agents then run:  ssh -p 2222 web1@127.0.0.1
# [[target]]
# name     = "web1"
# address  = "10.0.0.5:22"
# logins   = ["deploy"]              # accounts an agent may ask for; the first is the default
# host_key = "ssh-ed25519 AAAA..."   # from: ssh-keyscan -t ed25519 10.0.0.5 (compare it on the server)
# key      = "file:keys/web1"        # optional: a credential of its own upstream (var/keys/upstream when left out)
# forward  = ["127.0.0.1:5432"]      # optional: where `ssh -L` and `ssh -W` may lead by way of it

# An agent is known by its SSH keys, and reaches the targets that it is given.
# [[agent]]
# name    = "ci-deployer"
# keys    = ["ssh-ed25519 AAAA..."]
# targets = ["web*"]

# Who reviews and administers, by their account on this machine. Without any, the gateway's own user may do everything.
# [[person]]
# name    = "ana"
# os_user = "ana"
# may     = ["read", "export", "admin"]
"""
