"""Stores for tests, and the contract suite for authors of stores; `StoreContract` and the rigs need pytest.

`MemoryStore` keeps the contract in memory, `FaultyStore` fails on demand, `StoreContract` is the suite.
"""

TYPE_CHECKING = False  # see `syncer/__init__.py`
if TYPE_CHECKING:
    from syncer.testing.contract import StoreContract
    from syncer.testing.faulty_store import Fault, FaultyStore
    from syncer.testing.memory_store import MemoryStore
    from syncer.testing.rig import Rig, SimpleRig

__all__ = ["Fault", "FaultyStore", "MemoryStore", "Rig", "SimpleRig", "StoreContract"]

_DEFINED_IN = {
    "Fault": "syncer.testing.faulty_store",
    "FaultyStore": "syncer.testing.faulty_store",
    "MemoryStore": "syncer.testing.memory_store",
    "Rig": "syncer.testing.rig",
    "SimpleRig": "syncer.testing.rig",
    "StoreContract": "syncer.testing.contract",
}


def __getattr__(name: str) -> object:
    """Load a name at its first use, its assertions rewritten by pytest."""
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "StoreContract":
        import pytest

        pytest.register_assert_rewrite("syncer.testing.contract_changes", "syncer.testing.contract_queries")
    value = getattr(import_module(_DEFINED_IN[name]), name)
    globals()[name] = value
    return value
