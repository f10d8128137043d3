"""SFTP version 3 over the user's ssh: a remote where nothing can be installed.

Protocol: draft-ietf-secsh-filexfer-02. Extensions: `PROTOCOL` of OpenSSH and
draft-ietf-secsh-filexfer-extensions-00 (`copy-data`, by which a delta upload needs no program of ours at
the other end).
"""
