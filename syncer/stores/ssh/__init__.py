"""The user's own OpenSSH client as a transport: one `ssh -T` process, one pipe in each direction.

Keys, agent, `ProxyJump`, `known_hosts` and host aliases are those of `~/.ssh/config`; nothing of them is
read here.
"""
