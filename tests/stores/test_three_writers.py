"""Three writers of one name, planned on the same version: the accepted content is what the name holds."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from syncer.engine.model import Done, Outcome, Stale
from syncer.stores.local.filesystem import FileSystem
from tests.contract.rigs import FolderRig

PATIENCE = 0.3  # seconds that a call waits for its turn; it never comes where the writers exclude each other


class InTurn(FileSystem):
    """Lets exchanges happen in the order one, two, three, two, three, numbered by their first arrival."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers: dict[int, int] = {}
        self._turns = deque([0, 1, 2, 1, 2])

    def exchange(self, name: str, dir_fd: int, other: str, other_dir_fd: int) -> None:
        with self._changed:
            me = self._numbers.setdefault(threading.get_ident(), len(self._numbers))
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._numbers) == 3 and self._turns[0] == me, PATIENCE)
            super().exchange(name, dir_fd, other, other_dir_fd)
            if self._turns and self._turns[0] == me:
                self._turns.popleft()
            self._changed.notify_all()


def test_a_refused_write_stood_under_the_name_and_the_accepted_one_in_the_trash(tmp_path: Path) -> None:
    rig = FolderRig(tmp_path, InTurn())
    rig.write("f", b"old")
    planned = rig.entry("f")
    compared = threading.Barrier(3)
    outcomes: dict[bytes, Outcome] = {}
    # All have compared the name with what they planned on before the first of them exchanges it.
    seen: set[int] = set()

    def wait_for_all(method: str, _: object) -> None:
        if method == "link" and threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            compared.wait()

    rig.disk.before = wait_for_all

    def write(content: bytes) -> None:
        outcomes[content] = rig.put("f", content, expected=planned)

    threads = [threading.Thread(target=write, args=(content,)) for content in (b"one", b"two", b"three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [accepted] = [content for content, outcome in outcomes.items() if isinstance(outcome, Done)]
    assert sum(isinstance(outcome, Stale) for outcome in outcomes.values()) == 2
    assert rig.read("f") == accepted
