"""Bakes a Keystone: a database with users and a catalogue, and its keys, copied for each start.

    python bake.py DIR

Run with the Python of the servers' environment; ten seconds. DIR appears only when all is done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ADMIN_PASSWORD = "made-up-admin"
SERVICE_PASSWORD = "made-up-service"
USERS = {"alice": "made-up-alice", "bob": "made-up-bob"}  # of project demo; bob has no role there
ENDPOINTS = {  # region and interface; each another name of the same loopback
    ("RegionOne", "public"): "http://127.0.0.1:SWIFT",
    ("RegionOne", "internal"): "http://localhost:SWIFT",
    ("RegionOne", "admin"): "http://127.0.0.1:SWIFT",
    ("RegionTwo", "public"): "http://127.1:SWIFT",
}


def config(folder: Path, *, life: int) -> str:
    """keystone.conf for a Keystone in `folder` whose tokens live for `life` seconds."""
    return f"""\
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[token]
provider = fernet
expiration = {life}
allow_expired_window = 0
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/receipts
[credential]
key_repository = {folder}/credentials
[identity]
password_hash_rounds = 4
[cache]
# Without it each token costs a hundred questions to the database.
enabled = true
backend = dogpile.cache.memory
"""


def manage(folder: Path, *words: str) -> None:
    """keystone-manage, of the environment that this runs in."""
    tool = Path(sys.executable).with_name("keystone-manage")
    subprocess.run([tool, "--config-file", folder / "keystone.conf", *words], check=True)


def application(folder: Path) -> Any:
    """Keystone as a WSGI app, by the keystone.conf in `folder`."""
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(folder / "keystone.conf")
    sys.argv = ["keystone"]  # oslo.config reads it, and must find nothing
    from keystone.server.wsgi import initialize_public_application

    return initialize_public_application()


class Desk:
    """Keystone's REST API without a socket, as its administrator."""

    def __init__(self, app: Any) -> None:
        from werkzeug.test import Client

        self._client = Client(app)
        self._headers: dict[str, str] = {}
        user = {"name": "admin", "domain": {"id": "default"}, "password": ADMIN_PASSWORD}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        answer = self._ask("POST", "auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        self._headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def make(self, kind: str, **words: Any) -> str:
        """Something new (`user`, `project`, `endpoint`, …); its id."""
        made: dict[str, str] = self._ask("POST", f"{kind}s", {kind: words}).get_json()[kind]
        return made["id"]

    def find(self, kind: str, name: str) -> str:
        """The id of something that is there, by its name."""
        found = self._ask("GET", f"{kind}s?name={name}").get_json()[f"{kind}s"]
        return str(found[0]["id"])

    def grant(self, project: str, user: str, role: str) -> None:
        self._ask("PUT", f"projects/{project}/users/{user}/roles/{role}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._client.open(f"/v3/{path}", method=method, json=body, headers=self._headers)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status}: {answer.get_data(as_text=True)}")
        return answer


def furnish(desk: Desk) -> None:
    """The project, its users, the service user of Swift, and Swift in the catalogue."""
    member, admin = desk.find("role", "member"), desk.find("role", "admin")
    desk.make("role", name="ResellerAdmin")
    service, demo = (desk.make("project", name=name, domain_id="default") for name in ("service", "demo"))
    swift = desk.make("user", name="swift", domain_id="default", password=SERVICE_PASSWORD)
    desk.grant(service, swift, admin)
    for name, password in USERS.items():
        user = desk.make("user", name=name, domain_id="default", password=password)
        if name != "bob":
            desk.grant(demo, user, member)
    store = desk.make("service", name="swift", type="object-store")
    desk.make("region", id="RegionTwo")
    for (region, interface), url in ENDPOINTS.items():
        address = f"{url}/v1/AUTH_$(project_id)s"
        desk.make("endpoint", service_id=store, region_id=region, interface=interface, url=address)


def main() -> None:
    """Bakes into a folder beside, and gives it its name at the end."""
    ready = Path(sys.argv[1]).absolute()
    folder = ready.with_name(ready.name + ".part")
    for old in (ready, folder):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir()
    (folder / "keystone.conf").write_text(config(folder, life=3600))
    who = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    manage(folder, "db_sync")
    manage(folder, "fernet_setup", *who)
    manage(folder, "credential_setup", *who)
    here = [f"--bootstrap-{name}-url=http://KEYSTONE/v3" for name in ("public", "internal", "admin")]
    secret = f"--bootstrap-password={ADMIN_PASSWORD}"
    manage(folder, "bootstrap", secret, "--bootstrap-region-id=RegionOne", *here)
    furnish(Desk(application(folder)))
    folder.rename(ready)


if __name__ == "__main__":
    main()
