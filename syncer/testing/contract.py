"""`StoreContract`: the contract suite for stores as a base class, for pytest.

    import pytest
    from syncer.testing import SimpleRig, StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def rig(self, tmp_path):
            return SimpleRig(lambda: MyStore(tmp_path / "data"), tmp_path)

The tests are the functions of `contract_queries` (what a store shows) and `contract_changes` (how it is
changed, and what never happens meanwhile). The built-in stores run the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from syncer.testing import contract_changes, contract_queries
from syncer.testing.rig import Rig

TESTS: Final[dict[str, Callable[..., Any]]] = {
    name: test
    for module in (contract_queries, contract_changes)
    for name, test in vars(module).items()
    if name.startswith("test_")
}
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    # A test is skipped where the capabilities of the store lack one of these.
    "test_a_put_makes_a_file_and_says_what_it_made": ("mtime_granularity_ns",),
    "test_times_long_ago_and_far_ahead_are_kept": ("mtime_granularity_ns",),
    "test_time_and_permission_are_amended_and_the_content_stays": ("mtime_granularity_ns", "executable"),
    "test_a_symlink_is_put_with_its_target_only": ("symlinks",),
    "test_a_symlink_replaces_a_file_and_a_file_a_symlink": ("symlinks",),
    "test_a_file_is_renamed_with_its_content": ("moves",),
    "test_a_rename_never_clobbers": ("moves",),
    "test_an_edited_or_missing_file_is_not_renamed": ("moves",),
    "test_a_directory_is_renamed_with_all_that_is_below": ("moves_directories",),
}


class StoreContract:
    """Inherit from this class and define a fixture `rig` that makes a `Rig` for your store."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        """The store under test, with an empty root that exists and has a marker."""
        raise NotImplementedError("define a fixture `rig` in the class")

    @pytest.fixture(autouse=True)
    def _fits(self, rig: Rig, request: pytest.FixtureRequest) -> Iterator[None]:
        """Skip what the store says it cannot hold, and close the store at the end."""
        name = getattr(request.node, "originalname", request.node.name)
        lacking = [word for word in NEEDS.get(name, ()) if not getattr(rig.store.capabilities, word)]
        if lacking:
            pytest.skip(f"the store has no {' and no '.join(lacking)}")
        yield
        rig.store.close()


for _name, _test in TESTS.items():
    setattr(StoreContract, _name, staticmethod(_test))
