"""Syncer: two-way file synchronization that transfers only what changed.

The Python API; the command line is `syncer` or `python -m syncer`, and docs/python.md shows both ends of it.

    import syncer

    report = syncer.sync("~/Documents", "local:/mnt/disk/docs")
    assert report.ok, report.problems

Everything in `__all__` is public: importing the package loads none of it, the first use of a name does.
"""

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` would cost 20 ms
if TYPE_CHECKING:
    from syncer.api import (
        ActionResult,
        Daemon,
        Job,
        PlannedAction,
        Progress,
        SyncPlan,
        SyncReport,
        load_config,
        sync,
    )
    from syncer.config import JobSettings, Location, Settings
    from syncer.config.secrets import Secret
    from syncer.engine.interfaces import Capabilities
    from syncer.engine.model import BlockedEntry, Entry, Kind, Problem, Side
    from syncer.engine.report import CheckDifference, ConflictReport, Explanation, Hold, Totals
    from syncer.errors import (
        AuthError,
        Busy,
        ChangedUnderUs,
        ConfigError,
        GuardError,
        Interrupted,
        LocalError,
        NoSpace,
        NotFound,
        PermanentError,
        PreconditionFailed,
        QuotaExceeded,
        StateError,
        StoreError,
        SyncError,
        TransientError,
        Unholdable,
        Unreadable,
        UsageError,
    )
    from syncer.jobs.conflicts import ConflictOutcome
    from syncer.jobs.undo import UndoReport
    from syncer.state.history import HistoryEntry, OpenConflict, Run
    from syncer.stores.context import StoreContext
    from syncer.stores.simple import SimpleStore as Store
    from syncer.stores.stale import StaleError

__version__ = "0.1.0"

_MODULES = {  # which module defines each public name
    "syncer.api": (
        "sync",
        "Job",
        "Daemon",
        "load_config",
        "SyncPlan",
        "PlannedAction",
        "SyncReport",
        "ActionResult",
        "Progress",
    ),
    "syncer.config": ("Settings", "JobSettings", "Location"),
    "syncer.engine.interfaces": ("Capabilities",),
    "syncer.engine.model": ("BlockedEntry", "Entry", "Kind", "Problem", "Side"),
    "syncer.engine.report": ("CheckDifference", "ConflictReport", "Explanation", "Hold", "Totals"),
    "syncer.jobs.conflicts": ("ConflictOutcome",),
    "syncer.jobs.undo": ("UndoReport",),
    "syncer.state.history": ("HistoryEntry", "OpenConflict", "Run"),
    "syncer.config.secrets": ("Secret",),
    "syncer.stores.context": ("StoreContext",),
    "syncer.stores.simple": ("Store",),
    "syncer.stores.stale": ("StaleError",),
    "syncer.errors": (
        "SyncError",
        "UsageError",
        "ConfigError",
        "StateError",
        "Busy",
        "GuardError",
        "Interrupted",
        "StoreError",
        "TransientError",
        "PermanentError",
        "NotFound",
        "QuotaExceeded",
        "Unreadable",
        "Unholdable",
        "PreconditionFailed",
        "AuthError",
        "LocalError",
        "ChangedUnderUs",
        "NoSpace",
    ),
}
_OTHERWISE = {"Store": "SimpleStore"}  # inside, a `Store` is what the engine works with
_DEFINED_IN = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [  # in reading order; a test compares it with _MODULES
    "sync",
    "Job",
    "Daemon",
    "load_config",
    "SyncPlan",
    "PlannedAction",
    "SyncReport",
    "ActionResult",
    "Progress",
    "Store",
    "StoreContext",
    "StaleError",
    "Secret",
    "Settings",
    "JobSettings",
    "Location",
    "BlockedEntry",
    "Capabilities",
    "CheckDifference",
    "ConflictOutcome",
    "ConflictReport",
    "Entry",
    "Explanation",
    "HistoryEntry",
    "Hold",
    "Kind",
    "OpenConflict",
    "Problem",
    "Run",
    "Side",
    "Totals",
    "UndoReport",
    "SyncError",
    "UsageError",
    "ConfigError",
    "StateError",
    "Busy",
    "GuardError",
    "Interrupted",
    "StoreError",
    "TransientError",
    "PermanentError",
    "NotFound",
    "QuotaExceeded",
    "Unreadable",
    "Unholdable",
    "PreconditionFailed",
    "AuthError",
    "LocalError",
    "ChangedUnderUs",
    "NoSpace",
]


def __getattr__(name: str) -> object:
    """Load the module that defines a public name at its first use (PEP 562)."""
    from importlib import import_module

    if name in (
        "errors",
        "exit_codes",
        "testing",
    ):  # no import of their own is needed
        return import_module(f"{__name__}.{name}")
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_DEFINED_IN[name]), _OTHERWISE.get(name, name))
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
