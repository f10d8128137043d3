"""Every error Syncer raises on purpose, in one tree.

    SyncerError                     exit 5  nothing could be done
    ├── UsageError                  exit 2  the command line asks for something impossible
    ├── ConfigError                 exit 2  the config file, a job or an account is wrong
    ├── StateError                  exit 5  the state database or directory cannot be used
    ├── NoCommonVersion             exit 5  this Syncer and a server's speak no common version
    ├── Busy                        exit 6  another run holds this job
    ├── GuardTripped                exit 4  a safety guard refused the whole job
    ├── Interrupted                 exit 130 or 143  a signal stopped the run
    ├── StoreError                  exit 3  one side said no; usually about one path
    │   ├── TransientError                  running again may help (time-out, 503, reset)
    │   ├── PermanentError                  running again will not help
    │   │   ├── NotFound                    the path is not there
    │   │   ├── QuotaExceeded               the other side is full
    │   │   ├── Unreadable                  it is there, and we may not read it
    │   │   ├── Unholdable                  this side cannot hold such a name, kind or size
    │   │   ├── Unidentified                a root is there, but not what tells it from others
    │   │   ├── Unmovable                   a rename cannot lead there: another file system
    │   │   └── BadDelta                    a signature or a delta cannot be what it claims to be
    │   ├── PreconditionFailed              what is there is not what was planned on
    │   └── AuthError           exit 7      credentials are missing, wrong or expired
    └── LocalError                  exit 3  the local system said no
        ├── ChangedUnderUs                  the file changed while it was read
        └── NoSpace                         the disk is full (ENOSPC, EDQUOT)

The message says what and where, `hint` says what to do. Errors about one path
travel as values (`engine.model.Failed`) once they have left a store; an error
that is raised through the engine ends the run.
"""

from __future__ import annotations


class SyncerError(Exception):
    """Nothing could be done."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str = "", path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path


class UsageError(SyncerError):
    """The command line asks for something impossible."""

    exit_code = 2


class ConfigError(SyncerError):
    """The config file, a job or an account is wrong."""

    exit_code = 2


class StateError(SyncerError):
    """The state database or its directory cannot be used."""


class NoCommonVersion(SyncerError):
    """This Syncer and the server's speak no common version of the protocol: one of them is to be updated."""


class Busy(SyncerError):
    """Another run holds this job."""

    exit_code = 6


class GuardTripped(SyncerError):
    """A safety guard refused the whole job; nothing was changed on either side."""

    exit_code = 4

    def __init__(
        self, guard: str, message: str, *, hint: str = "", path: str = "", acceptable: bool = False
    ) -> None:
        """`acceptable`: a person may wave it through by --yes."""
        super().__init__(message, hint=hint, path=path)
        self.guard = guard
        self.acceptable = acceptable


class Interrupted(SyncerError):
    """A signal stopped the run between two steps; the state is consistent."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}; the state is consistent, the next run goes on")
        self.exit_code = 128 + signum


class StoreError(SyncerError):
    """One side of a job said no."""

    exit_code = 3
    code = "store-error"


class TransientError(StoreError):
    """It failed now and may work later."""

    code = "transient"

    def __init__(
        self, message: str, *, hint: str = "", path: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, path=path)
        self.retry_after = retry_after  # seconds, where the other side named them
        self.request = ""  # which one failed, where it was counted as it went out
        self.attempts = 0  # times that it was sent in vain so far
        self.counted_by: object = None  # what counts them


class PermanentError(StoreError):
    """It will fail again in the same way."""

    code = "refused"


class NotFound(PermanentError):
    """The path is not there."""

    code = "not-found"


class QuotaExceeded(PermanentError):
    """The other side is full."""

    code = "quota"


class Unreadable(PermanentError):
    """It is there, and we may not read it."""

    code = "unreadable"


class Unholdable(PermanentError):
    """This side cannot hold such a name, kind or size."""

    code = "unholdable"


class Unidentified(PermanentError):
    """A root is there, but what would tell it from others has no place in it."""

    code = "unidentified"


class Unmovable(PermanentError):
    """A rename cannot lead there: another file system (a mount or a subvolume within the root)."""

    code = "unmovable"


class BadDelta(PermanentError):
    """A signature or a delta cannot be what it claims to be, or costs too much: send the file whole."""

    code = "bad-delta"


class PreconditionFailed(StoreError):
    """What is there is not what was planned on."""

    code = "changed"


class AuthError(StoreError):
    """Credentials are missing, wrong or expired."""

    exit_code = 7
    code = "auth"


class LocalError(SyncerError):
    """The local system said no."""

    exit_code = 3
    code = "io-error"


class ChangedUnderUs(LocalError):
    """The file changed while it was read: left for the next run."""

    code = "busy"


class NoSpace(LocalError):
    """The disk is full or a quota is used up."""

    code = "no-space"
