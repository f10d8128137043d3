"""One story with every kind of pending change at once, told anew on a fresh machine in milliseconds.

`begin` makes a base that both sides agree on; `change` is what users then do on both sides.
No two contents are equal unless the story wants it, so that a lost one cannot hide.
"""

from __future__ import annotations

from syncer.stores.local.batch import MEBIBYTE
from tests.simulation.hands import Hands
from tests.simulation.machines import Machine

BIG = b"0123456789abcdef" * (MEBIBYTE // 16) + b"the second chunk"
IGNORED = ("noise.log",)  # named by a new rule in the middle of the story: the sides go their own ways
BASE_FILES = (
    "same", "edited-here", "edited-there", "replaced-here", "deleted-here", "deleted-there",
    "edit-beats-delete", "delete-loses", "both-edited", "renamed-here", "swapped-1", "swapped-2",
    "becomes-directory", "tool", "touched", "noise.log", "link-in-waiting",
)  # fmt: skip
BASE_TREES = {
    "renamed": ("a", "b"),
    "becomes-file": ("inside",),
    "goes": ("x", "deeper/y"),
    "goes-but-edited": ("kept", "dropped"),
    "settled": ("quiet",),
}


def begin(machine: Machine) -> Hands:
    """The base, in place on both sides."""
    hands = Hands(machine)
    hands.write("local/.syncignore", "*.bak\n")
    for name in BASE_FILES:
        hands.write(f"local/{name}", f"base of {name}\n")
    for top, files in BASE_TREES.items():
        hands.mkdir(f"local/{top}")
        for file in files:
            if "/" in file:
                hands.mkdir(f"local/{top}/{file.rpartition('/')[0]}")
            hands.write(f"local/{top}/{file}", f"base of {top}/{file}\n")
    for empty in ("empty-goes", "empty-stays"):
        hands.mkdir(f"local/{empty}")
    for link in ("link-changes", "link-goes", "link-stays"):
        hands.link(f"local/{link}", f"target-of-{link}")
    end = machine.run()
    assert end.exit_code == 0, str(end)
    machine.clock.sleep(1)
    return hands


def change(hands: Hands) -> None:
    """What is pending when the run of interest begins."""
    _one_sided(hands)
    _two_sided(hands)
    _types_and_directories(hands)
    hands.machine.clock.sleep(1)


def _one_sided(hands: Hands) -> None:
    hands.write_into("local/edited-here", "edited here, in place\n")
    hands.write("local/replaced-here", "another inode took the name\n")
    hands.write("remote/edited-there", "edited there\n")
    hands.delete("local/deleted-here")
    hands.delete("remote/deleted-there")
    hands.write("local/new-here", "new here\n")
    hands.write("remote/new-there", "new there\n", mode=0o755)
    hands.write("local/big", BIG)
    hands.write("local/empty-file", "")
    hands.write("remote/private.bak", "ignored all along\n")
    hands.rename("local/renamed-here", "local/settled/renamed-to")
    hands.rename("remote/swapped-1", "remote/swapping")
    hands.rename("remote/swapped-2", "remote/swapped-1")
    hands.rename("remote/swapping", "remote/swapped-2")
    hands.chmod("local/tool", 0o755)
    hands.touch("remote/touched")
    hands.link("local/link-new", "target-of-link-new")
    hands.link("remote/link-changes", "another-target")
    hands.delete("local/link-goes")


def _two_sided(hands: Hands) -> None:
    hands.write("local/edit-beats-delete", "edited here, deleted there\n")
    hands.delete("remote/edit-beats-delete")
    hands.delete("local/delete-loses")
    hands.write_into("remote/delete-loses", "deleted here, edited there\n")
    hands.write("remote/both-edited", "edited there, the older\n")
    hands.write("local/both-edited", "edited here, the newer\n")
    hands.write("local/both-new", "new here, the older\n")
    hands.write("remote/both-new", "new there, the newer\n")
    hands.write("local/both-equal", "the same on both sides\n")
    hands.write("remote/both-equal", "the same on both sides\n")
    hands.write("local/clash", "a file here\n")
    hands.mkdir("remote/clash")
    hands.write("remote/clash/inside", "a directory there\n")
    hands.write("local/.syncignore", "*.bak\nnoise.log\n")
    hands.write("remote/noise.log", "edited there, and ignored from now on\n")


def _types_and_directories(hands: Hands) -> None:
    hands.rename("local/renamed", "local/renamed-directory")
    hands.rmtree("local/becomes-file")
    hands.write("local/becomes-file", "was a directory\n")
    hands.delete("remote/becomes-directory")
    hands.mkdir("remote/becomes-directory")
    hands.write("remote/becomes-directory/inside", "was a file\n")
    hands.delete("local/link-in-waiting")
    hands.link("local/link-in-waiting", "was-a-file")
    hands.rmtree("remote/goes")
    hands.rmtree("local/goes-but-edited")
    hands.write("remote/goes-but-edited/kept", "edited in a directory that was deleted here\n")
    hands.rmdir("local/empty-goes")
    hands.mkdir("remote/empty-new")
    for path in ("nested", "nested/deep", "nested/deep/er"):
        hands.mkdir(f"local/{path}")
    hands.write("local/nested/deep/er/leaf", "at the end of new directories\n")
