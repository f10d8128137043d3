"""What an error of rclone means. Its API has no error codes: the texts are all there is, and are matched
here.

Pure. Only a few texts are believed as an absence; everything unknown may work later, and is never an absence.
"""

from __future__ import annotations

import re

from syncer.engine.paths import printable
from syncer.errors import (
    AuthError,
    ConfigError,
    NotFound,
    PermanentError,
    QuotaExceeded,
    StoreError,
    TransientError,
    Unholdable,
)

_LONGEST = 300  # characters of rclone's words in a message

_Kind = type[StoreError] | type[ConfigError]

_ABSENT = re.compile(r"(?:^|: )(?:object not found|directory not found|Rmdir: directory not found)$")
_LOGIN = (
    r"\b401\b|\b403 Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch|invalid_grant|token expired"
    r"|empty token found|AccessDenied|unable to authenticate"
)
_RECONNECT = "log in again: rclone config reconnect {remote}:"
# In this order: a text of another table line may stand within a longer one.
_TEXTS: tuple[tuple[str, _Kind, str], ...] = (
    (r"couldn't find method", PermanentError, "this rclone is too old: see https://rclone.org/downloads/"),
    (r"didn't find section in config file", ConfigError, "`rclone listremotes` shows the names"),
    (r"unable to decrypt|Failed to load config file|decrypt", AuthError,
     "rclone's configuration is encrypted: set RCLONE_CONFIG_PASS, or `password_command` of the account"),
    (r"LoadCustomCABundleError", ConfigError, "AWS_CA_BUNDLE in the environment breaks this rclone"),
    (r"context canceled", TransientError, ""),
    (r"rateLimitExceeded|userRateLimitExceeded|too_many_requests|too many requests|\b429\b|SlowDown",
     TransientError, "the service limits how often it is asked"),
    (r"insufficient storage|storageQuotaExceeded|quota(?:LimitReached)?[ _]?exceeded|no space left|\b507\b",
     QuotaExceeded, "make room on the service"),
    (_LOGIN, AuthError, _RECONNECT),
    (r"file name too long|illegal name|invalid (?:file )?name", Unholdable, "rename it"),
    (r"is a directory not a file|directory not empty|not a directory", PermanentError, ""),
    (r"Didn't find key", PermanentError, "a fault of Syncer: please report it"),
)  # fmt: skip


def call_error(status: int, said: str, *, method: str, path: str, remote: str) -> StoreError | ConfigError:
    """The error that an answer other than 200 stands for.

    `said` is the text of rclone's `error`, `method` the call, `path` what it was about, `remote` the section.
    """
    words = " ".join("".join(char if char.isprintable() else " " for char in said).split())[:_LONGEST]
    where = printable(path) or f"{remote}:"
    message = f"{where}: rclone {method}: {words or f'status {status}'}"
    if status == 401:
        return PermanentError(f"another program answers in the place of rclone ({method}: 401)")
    for pattern, kind, hint in _TEXTS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(message, hint=hint.format(remote=remote), path=path)
    if status == 404 and _ABSENT.search(said.strip()):
        return NotFound(message, path=path)
    return TransientError(message, path=path)
