"""The exception tree: every error that Syncer raises on purpose derives from `SyncError`.

    SyncError                       fatal: nothing could be done
    ├── UsageError                  the arguments ask for something impossible
    ├── ConfigError                 the config file, a job or an account is wrong
    ├── StateError                  the state database or directory cannot be used
    ├── NoCommonVersion             this Syncer and the server share no protocol version
    ├── Busy                        another run holds the lock of this job
    ├── GuardError                  a safety guard refused the whole job
    ├── Interrupted                 a signal stopped the run between two steps
    ├── StoreError                  a store refused or failed a request, usually for one path
    │   ├── TransientError              a retry may help (time-out, 503, connection reset)
    │   ├── PermanentError              a retry will fail in the same way
    │   │   ├── NotFound                    the path does not exist
    │   │   ├── QuotaExceeded               the store is full
    │   │   ├── Unreadable                  the path exists and must not be read (permission denied)
    │   │   ├── Unholdable                  the store cannot hold such a name, kind or size
    │   │   ├── Unidentified                the root exists and cannot hold the marker that identifies it
    │   │   ├── Unmovable                   a rename across file systems
    │   │   └── BadDelta                    a signature or delta is malformed
    │   ├── PreconditionFailed          the path is not what was planned on
    │   └── AuthError               credentials are missing, wrong or expired
    └── LocalError                  the local system refused or failed a call
        ├── ChangedUnderUs              the file changed while it was read
        └── NoSpace                     the disk is full (ENOSPC, EDQUOT)

`message` says what failed and where, `hint` what to do, `path` names the path where the error is about one,
and `code` is the stable word for it in `--json`. Exit codes are in `exit_codes`. Errors about one path
travel as values (`engine.model.Failed`) once they have left a store; an error that is raised through the
engine ends the run.
"""

from __future__ import annotations


class SyncError(Exception):
    """The base of all errors of Syncer; raised itself where a run failed as a whole."""

    code = "syncererror"  # the stable word in `--json`

    def __init__(self, message: str, *, hint: str = "", path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path


class UsageError(SyncError):
    """The arguments ask for something impossible."""

    code = "usageerror"


class ConfigError(SyncError):
    """The config file, a job or an account is wrong."""

    code = "config"


class StateError(SyncError):
    """The state database or its directory cannot be used."""

    code = "stateerror"


class NoCommonVersion(SyncError):
    """This Syncer and the server share no protocol version: one of them has to be updated."""

    code = "nocommonversion"


class Busy(SyncError):
    """Another run holds the lock of this job."""

    code = "busy"


class GuardError(SyncError):
    """A safety guard refused the whole job; nothing was changed. `code` is the guard's name."""

    def __init__(
        self, guard: str, message: str, *, hint: str = "", path: str = "", acceptable: bool = False
    ) -> None:
        """`acceptable`: the user may override the guard for one run (`--yes`, `allow_deletes`)."""
        super().__init__(message, hint=hint, path=path)
        self.guard = self.code = guard
        self.acceptable = acceptable


class Interrupted(SyncError):
    """A signal stopped the run between two steps; the state is consistent."""

    code = "interrupted"

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}; the state is consistent, the next run goes on")
        self.signum = signum


class StoreError(SyncError):
    """A store refused or failed a request."""

    code = "store-error"


class TransientError(StoreError):
    """The request failed now and may work later: a time-out, a 503, a broken connection."""

    code = "transient"

    def __init__(
        self, message: str, *, hint: str = "", path: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, path=path)
        self.retry_after = retry_after  # seconds, where the service named a delay
        self.request = ""  # the failed request, as `stores.retry_policy` counts requests
        self.attempts = 0  # how often it was sent without success
        self.counted_by: object = None  # the counter that counted these attempts


class PermanentError(StoreError):
    """The request will fail again in the same way."""

    code = "refused"


class NotFound(PermanentError):
    """The path does not exist."""

    code = "not-found"


class QuotaExceeded(PermanentError):
    """The store is full: no space or quota is left."""

    code = "quota"


class Unreadable(PermanentError):
    """The path exists and must not be read: permission denied."""

    code = "unreadable"


class Unholdable(PermanentError):
    """The store cannot hold such a name, kind or size."""

    code = "unholdable"


class Unidentified(PermanentError):
    """The root exists and cannot hold the marker that identifies it."""

    code = "unidentified"


class Unmovable(PermanentError):
    """A rename across file systems: a mount or a subvolume within the root."""

    code = "unmovable"


class BadDelta(PermanentError):
    """A signature or a delta is malformed, or costs too much: the file has to be sent whole."""

    code = "bad-delta"


class PreconditionFailed(StoreError):
    """The path does not hold what the request was planned on."""

    code = "changed"


class AuthError(StoreError):
    """Credentials are missing, wrong or expired."""

    code = "auth"


class LocalError(SyncError):
    """The local system refused or failed a call."""

    code = "io-error"


class ChangedUnderUs(LocalError):
    """The file changed while it was read; the next run reads it again."""

    code = "busy"


class NoSpace(LocalError):
    """The disk is full or a quota is used up."""

    code = "no-space"


SyncerError = SyncError  # the names that the rest of the package uses
GuardTripped = GuardError
