"""The contract suite on the SQLite store; an author of a store needs no more than this."""

from __future__ import annotations

from pathlib import Path

import pytest
from syncer_sqlite import SqliteStore

from syncer.testing import SimpleRig, StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> SimpleRig:
        return SimpleRig(lambda: SqliteStore(tmp_path / "files.db", "a/folder"), tmp_path)
