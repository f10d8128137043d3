"""Words for people: what a line says, and what it does not say twice."""

from __future__ import annotations

import pytest

from syncer.cli import text_output


@pytest.mark.parametrize(
    ("path", "message", "said"),
    [
        ("d/x", "d/x: Permission denied", "Permission denied"),
        ("d/x", "Permission denied", "Permission denied"),
        ("d", "d/x: Permission denied", "d/x: Permission denied"),
        ("a\nb", "a\\nb: odd\x1b", "odd\\x1b"),
    ],
)
def test_a_message_after_its_path_does_not_name_it_again(path: str, message: str, said: str) -> None:
    assert text_output.without(path, message) == said
