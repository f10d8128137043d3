"""Texts of rclone, recorded from 1.60.1 and 1.75.2, and what each means."""

from __future__ import annotations

import pytest

from syncer.errors import (
    AuthError,
    ConfigError,
    NotFound,
    PermanentError,
    QuotaExceeded,
    TransientError,
    Unholdable,
)
from syncer.stores.rclone.errors import call_error


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (404, "object not found", NotFound),
        (404, "error in ListJSON: directory not found", NotFound),
        (404, "Rmdir: directory not found", NotFound),
        (404, 'couldn\'t find method "operations/stat"', PermanentError),
        (404, "something else", TransientError),
        (404, "", TransientError),
        (500, "object not found", TransientError),
        (400, 'Didn\'t find key "remote" in input', PermanentError),
        (401, "401 Unauthorized", PermanentError),
        (500, 'didn\'t find section in config file ("x")', ConfigError),
        (500, "couldn't list files: 401 Unauthorized: 401 Unauthorized", AuthError),
        (500, "InvalidAccessKeyId: status code: 403, request id: , host id:", AuthError),
        (500, 'couldn\'t fetch token: oauth2: "invalid_grant" "token expired"', AuthError),
        (500, 'empty token found - please run "rclone config reconnect x:"', AuthError),
        (500, 'panic received: fatal error: Failed to load config file "c": unable to decrypt', AuthError),
        (500, "dial tcp 127.0.0.1:1: connect: connection refused", TransientError),
        (500, "googleapi: Error 403: User rate limit exceeded, userRateLimitExceeded", TransientError),
        (500, "googleapi: Error 403: The user's quota, storageQuotaExceeded", QuotaExceeded),
        (500, "Put: 507 Insufficient Storage: 507 Insufficient Storage", QuotaExceeded),
        (500, "write: no space left on device", QuotaExceeded),
        (500, "open /x: file name too long", Unholdable),
        (500, "context canceled", TransientError),
        (500, "is a directory not a file", PermanentError),
        (500, "Put mkParentDir failed: SSH_FX_FAILURE", TransientError),
        (500, "LoadCustomCABundleError: unable to load custom CA bundle", ConfigError),
        (502, "", TransientError),
    ],
)
def test_each_text_has_one_meaning(status: int, text: str, kind: type[Exception]) -> None:
    error = call_error(status, text, method="operations/stat", path="a/b", remote="x")
    assert type(error) is kind
    assert isinstance(error, NotFound) == (kind is NotFound)


def test_the_message_is_one_printable_line_and_names_what_to_do() -> None:
    error = call_error(500, "401 Unauthorized\x1b[31m\n" + "x" * 9999, method="m", path="a", remote="drive")
    assert str(error).isprintable() and len(str(error)) < 400
    assert error.hint == "log in again: rclone config reconnect drive:"
