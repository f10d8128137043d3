"""The daemon with a real Swift remote: uploads at once, downloads at its intervals."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.daemon.campaigns.machines import Machine, eventually, machines
from tests.swift.fixtures import swift
from tests.swift.server import Swift

__all__ = ["swift"]


def on(swift: Swift, home: Path) -> Machine:
    account = (
        f'[accounts.cloud]\ntype = "swift"\nauth = "v1"\nauth_url = "{swift.auth_url}"\n'
        f'user = "{swift.user}"\nkey = "{swift.key}"\n'
    )
    return Machine(home=home, remote="cloud:box/p", accounts=account)


def put(swift: Swift, name: str, content: bytes) -> None:
    url, token = swift.log_in()
    requests.put(
        f"{url}/box/p/{name}", data=content, headers={"X-Auth-Token": token}, timeout=30
    ).raise_for_status()


def has(swift: Swift, name: str, content: bytes) -> bool:
    url, token = swift.log_in()
    found = requests.get(f"{url}/box/p/{name}", headers={"X-Auth-Token": token}, timeout=30)
    return found.status_code == 200 and found.content == content


def test_changes_go_up_as_they_happen_and_a_flush_brings_what_others_put_there(
    swift: Swift, tmp_path: Path
) -> None:
    machine = on(swift, tmp_path)
    (machine.local / "before").write_bytes(b"was there")
    with machines(machine):
        machine.start()
        eventually(lambda: has(swift, "before", b"was there"), 60)
        eventually(lambda: machine.status.remote_watch == "probe", 60)
        (machine.local / "sub").mkdir()
        (machine.local / "sub" / "new").write_bytes(b"made later")
        eventually(lambda: has(swift, "sub/new", b"made later"), 60)
        put(swift, "theirs", b"from elsewhere")
        machine.flush()
        assert (machine.local / "theirs").read_bytes() == b"from elsewhere"
        machine.told_no_nonsense()
