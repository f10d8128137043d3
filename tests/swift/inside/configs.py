"""The config files of a Swift in one process, as text: four servers, one disk, rings in `root`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = ("account", "container", "object")
# mischief stands before everything: it must see what the client sees.
PIPELINE = (
    "mischief catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl ratelimit "
    "{s3}{auth} copy container-quotas account-quotas slo dlo versioned_writes symlink proxy-logging "
    "proxy-server"
)
PLAIN = (
    "catch_errors gatekeeper healthcheck proxy_logging listing_formats bulk tempurl ratelimit copy "
    "container_quotas account_quotas symlink"
)
USERS = {
    "admin:admin": "admin .admin .reseller_admin",
    "test:tester": "testing .admin",
    "test:tester3": "testing3",  # in the account, without rights
    "test2:tester2": "testing2 .admin",
}
NO_THROTTLE = 1_000_000  # by default segments under 1 MiB come at one a second after the tenth


def server(kind: str, *, root: str, port: int) -> str:
    """account-, container- or object-server.conf."""
    return f"""\
[DEFAULT]
swift_dir = {root}
workers = 0
bind_ip = 127.0.0.1
bind_port = {port}
devices = {root}/node
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
recon_cache_path = {root}/cache
container_update_timeout = 30
[pipeline:main]
pipeline = healthcheck {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[filter:healthcheck]
use = egg:swift#healthcheck
[{kind}-updater]
[{kind}-replicator]
[{kind}-auditor]
"""


def swift(settings: Mapping[str, Any]) -> str:
    """swift.conf: the hash, the policy, and the limits that a test wants smaller."""
    limits = "".join(f"{key} = {value}\n" for key, value in settings["limits"].items())
    return f"""\
[swift-hash]
swift_hash_path_prefix = changeme-a
swift_hash_path_suffix = changeme-b
[storage-policy:0]
name = one
default = yes
[swift-constraints]
{limits}"""


def proxy(settings: Mapping[str, Any], *, root: str, port: int) -> str:
    """proxy-server.conf with TempAuth, or with a Keystone at `settings["keystone"]`."""
    auth = "authtoken keystoneauth" if settings["keystone"] else "tempauth"
    s3 = "s3api " if settings["s3"] else ""
    pipeline = PIPELINE.format(auth=auth, s3=s3).split()
    pipeline = [name for name in pipeline if name not in settings["without"]]
    filters = "".join(
        f"[filter:{name.replace('_', '-') if 'quotas' in name or 'logging' in name else name}]\n"
        f"use = egg:swift#{name}\n"
        for name in PLAIN.split()
    )
    auth_filters = _keystone(settings["keystone"]) if settings["keystone"] else _tempauth(settings)
    throttle = settings["slo_throttle"] if settings["slo_throttle"] is not None else NO_THROTTLE
    return f"""\
[DEFAULT]
swift_dir = {root}
workers = 0
bind_ip = 127.0.0.1
bind_port = {port}
client_timeout = 60
[pipeline:main]
pipeline = {" ".join(pipeline)}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
conn_timeout = 5
node_timeout = 60
post_quorum_timeout = 5
error_suppression_interval = 0
error_suppression_limit = 1000000
{filters}[filter:slo]
use = egg:swift#slo
max_manifest_segments = {settings["max_manifest_segments"]}
rate_limit_after_segment = {throttle}
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:dlo]
use = egg:swift#dlo
rate_limit_after_segment = {NO_THROTTLE}
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:cache]
paste.filter_factory = tokens:filter_factory
[filter:mischief]
paste.filter_factory = mischief:filter_factory
{auth_filters}"""


def _tempauth(settings: Mapping[str, Any]) -> str:
    users = "".join(f"user_{name.replace(':', '_')} = {rest}\n" for name, rest in USERS.items())
    return f"[filter:tempauth]\nuse = egg:swift#tempauth\ntoken_life = {settings['token_life']}\n{users}"


def _keystone(keystone: Mapping[str, str]) -> str:
    # Verified tokens are remembered in our own cache, so that a test can make Swift ask Keystone again.
    return f"""\
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {keystone["url"]}
auth_url = {keystone["url"]}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = swift
password = {keystone["password"]}
delay_auth_decision = True
include_service_catalog = False
service_token_roles_required = True
cache = swift.cache
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
reseller_admin_role = ResellerAdmin
"""
