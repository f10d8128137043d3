"""Credentials come from the account or botocore's chain, expire and are renewed, and are in no text."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from syncer.errors import AuthError
from syncer.stores.s3.credentials import UNSIGNED, AwsKeys, CredentialChain, Signer, StaticCredentials


@pytest.fixture(autouse=True)
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without any, whatever this machine has; the folder of the AWS files."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def test_keys_in_the_environment_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "made-up-token")
    keys = CredentialChain().current()
    assert keys == AwsKeys(access_key="made-up-id", secret_key="made-up-secret", token="made-up-token")
    assert "secret" not in repr(keys) and "token" not in repr(keys)


def test_a_profile_has_keys_and_a_region(no_credentials: Path) -> None:
    (no_credentials / "credentials").write_text(
        "[work]\naws_access_key_id = made-up-id\naws_secret_access_key = made-up-secret\n"
    )
    (no_credentials / "config").write_text("[profile work]\nregion = eu-west-3\n")
    chain = CredentialChain("work")
    assert chain.current().access_key == "made-up-id" and chain.region() == "eu-west-3"


def test_a_credential_process_is_asked(no_credentials: Path) -> None:
    tool = no_credentials / "tool"
    document = {"Version": 1, "AccessKeyId": "made-up-id", "SecretAccessKey": "made-up-secret"}
    tool.write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(document))})\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    (no_credentials / "config").write_text(f"[default]\ncredential_process = {tool}\n")
    assert CredentialChain().current().secret_key == "made-up-secret"


def test_no_credentials_and_a_missing_profile_are_errors_of_the_login(no_credentials: Path) -> None:
    with pytest.raises(AuthError, match="no S3 credentials"):
        CredentialChain().current()
    missing = CredentialChain("nobody")
    assert missing.region() == ""
    with pytest.raises(AuthError, match="cannot be loaded"):
        missing.current()


def test_a_failing_credential_process_is_not_quoted(no_credentials: Path) -> None:
    tool = no_credentials / "tool"
    tool.write_text("#!/bin/sh\necho made-up-secret >&2\nexit 1\n")
    tool.chmod(0o755)
    (no_credentials / "config").write_text(f"[default]\ncredential_process = {tool}\n")
    with pytest.raises(AuthError) as raised:
        CredentialChain().current()
    assert "made-up-secret" not in raised.value.message + raised.value.hint


def test_a_static_secret_is_revealed_once() -> None:
    asked: list[int] = []

    def secret() -> str:
        asked.append(1)
        return "made-up-secret"

    keys = StaticCredentials("made-up-id", secret)
    assert not asked
    assert keys.current() == keys.current() and len(asked) == 1


def test_what_is_signed_is_the_url_as_it_stands() -> None:
    signer = Signer(
        StaticCredentials("made-up-id", lambda: "made-up-secret", lambda: "made-up-token"), "eu-west-3"
    )
    signed = signer.sign("PUT", "https://s3.example/b/a%2Fb?partNumber=1", {"If-None-Match": "*"}, UNSIGNED)
    assert signed["X-Amz-Content-SHA256"] == UNSIGNED
    assert signed["X-Amz-Security-Token"] == "made-up-token" and signed["If-None-Match"] == "*"
    authorization = signed["Authorization"]
    assert "/eu-west-3/s3/aws4_request" in authorization and "if-none-match" in authorization
    assert "made-up-secret" not in authorization
