"""Locations of ssh and sftp: what each spelling means, and which are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.errors import ConfigError
from syncer.stores.ssh.location import Destination, parse_location


@pytest.mark.parametrize(
    ("text", "user", "host", "port", "path"),
    [
        ("ssh:host:/srv/docs", "", "host", 0, "/srv/docs"),
        ("ssh:me@host:/srv/docs/", "me", "host", 0, "/srv/docs"),
        ("ssh:host:docs", "", "host", 0, "docs"),
        ("ssh:host:~/docs", "", "host", 0, "docs"),
        ("ssh:host:/~/docs", "", "host", 0, "docs"),
        ("ssh:host:/~/", "", "host", 0, ""),
        ("ssh:host:~", "", "host", 0, ""),
        ("ssh:host:a:b", "", "host", 0, "a:b"),
        ("ssh:host:/a//b/./c", "", "host", 0, "/a/b/c"),
        ("ssh:host:/a/../b", "", "host", 0, "/a/../b"),
        ("ssh:host:/", "", "host", 0, "/"),
        ("sftp://me@host:2222/srv/docs", "me", "host", 2222, "/srv/docs"),
        ("sftp://host/~/docs", "", "host", 0, "docs"),
        ("sftp:[::1]:/docs", "", "::1", 0, "/docs"),
        ("sftp://[fe80::1%eth0]:22/docs", "", "fe80::1%eth0", 22, "/docs"),
        ("ssh:me@corp@host:/x", "me@corp", "host", 0, "/x"),
    ],
)
def test_each_spelling_has_one_meaning(text: str, user: str, host: str, port: int, path: str) -> None:
    found = parse_location(text)
    at = found.destination
    assert (at.user, at.host, at.port, found.path) == (user, host, port, path)


@pytest.mark.parametrize(
    "text",
    [
        "ssh:host", "ssh:", "ssh::/x", "ssh://host", "ssh://host/", "ssh:host:",
        "ssh://host:0/x", "ssh://host:65536/x", "ssh://host:x/y", "ssh://host:-1/y", "ssh://host:/y",
        "ssh:-oProxyCommand=x:/y", "ssh:-l@host:/y", "ssh:ho st:/y", "ssh:host:/y\n", "ssh:a\x00b:/y",
        "ssh:$(touch x):/y", "ssh:`id`@host:/y", "ssh:host;id:/y", "http://host/y", "host:/y", "",
    ],
)  # fmt: skip
def test_what_ssh_could_misunderstand_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_location(text)
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_location_or_a_config_error(text: str) -> None:
    for scheme in ("ssh:", "sftp://", ""):
        try:
            found = parse_location(scheme + text)
        except ConfigError:
            continue
        assert not found.destination.host.startswith("-")
        assert not set(found.destination.host + found.destination.user) & set(" \t\n'\"$`;|&<>()\\")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ssh:Host:/a/b/", "ssh://host:22/a//b"),
        ("ssh:host:docs", "ssh://host/~/docs"),
        ("sftp:me@[::1]:x", "sftp://me@[::1]:22/~/x"),
    ],
)
def test_two_spellings_of_one_location_have_one_identity(one: str, other: str) -> None:
    assert parse_location(one).identity == parse_location(other).identity


def test_the_identity_is_a_location_itself() -> None:
    identity = parse_location("sftp:me@[::1]:x/y").identity
    assert parse_location(identity).identity == identity == "sftp://me@[::1]/~/x/y"


def test_a_destination_is_checked_wherever_it_comes_from() -> None:
    with pytest.raises(ConfigError):
        Destination(host="-oProxyCommand=id")
    with pytest.raises(ConfigError):
        Destination(host="host", user="-x")
    with pytest.raises(ConfigError):
        Destination(host="host", port=70_000)
