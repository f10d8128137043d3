"""Network file systems recognised from a list of mounts in Linux' format."""

from __future__ import annotations

import pytest

from syncer.mounts import is_network
from syncer.watch.polling import network, stacked

LIST = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /home rw - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/local rw shared:2 master:3 - ext4 /dev/sdb1 rw
32 22 0:31 / /mnt/with\040space rw - cifs //server/share rw
33 22 0:32 / /mnt/ssh rw - fuse.sshfs someone@server:/ rw
34 22 0:33 / /mnt/disk rw - fuseblk /dev/sdc1 rw
35 22 0:34 / /mnt/crypt rw - fuse.gocryptfs /somewhere rw
36 22 0:35 / /mnt/over rw - 9p share rw
37 36 8:3 / /mnt/over rw - xfs /dev/sdd1 rw
a line that is none
"""


@pytest.mark.parametrize(
    ("root", "kind"),
    [
        ("/", "nfs4|cifs|fuse.sshfs|9p"),
        ("/srv", ""),
        ("/home", "nfs4"),
        ("/home/me/docs", "nfs4"),
        ("/homeless", ""),
        ("/home/local/docs", ""),
        ("/mnt/with space/x", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/mnt/disk/x", ""),
        ("/mnt/crypt", ""),
        ("/mnt/over/x", ""),
    ],
)
def test_the_mount_on_top_counts(tmp_path, root, kind):
    (tmp_path / "list").write_text(LIST)
    assert network(root, str(tmp_path / "list")) in kind.split("|")


def test_a_mount_in_the_folder_counts_too(tmp_path):
    (tmp_path / "list").write_text(LIST)
    assert network("/mnt", str(tmp_path / "list"))


def test_without_a_list_nothing_is_known(tmp_path):
    assert network("/home", str(tmp_path / "none")) == ""


STACKED = r"""
22 1 0:22 / / rw - overlay overlay rw
31 22 0:31 / /pool rw - fuse.mergerfs a:b rw
32 22 0:32 / /plain rw - fuse.gocryptfs /cipher rw
33 22 0:33 / /over rw - overlay overlay rw
34 22 8:3 / /stick rw - fuseblk /dev/sdc1 rw
35 22 0:35 / /ssh rw - fuse.sshfs server:/ rw
36 22 0:36 / /old rw - fuse /dev/fuse rw
37 22 8:4 / /disk rw - btrfs /dev/sdd1 rw
38 37 0:38 / /disk/in\\040it rw - fuse.bindfs /x rw
"""


@pytest.mark.parametrize(
    ("root", "kind"),
    [
        ("/home", ""),
        ("/pool/films", "fuse.mergerfs"),
        ("/plain", "fuse.gocryptfs"),
        ("/over/upper", "overlay"),
        ("/stick", ""),
        ("/ssh", ""),
        ("/old", "fuse"),
        ("/disk", "fuse.bindfs"),
        ("/disk/other", ""),
    ],
)
def test_what_is_done_behind_a_stacked_mount_was_not_seen_for_an_hour(tmp_path, root, kind):
    """A container's own root is an overlay as well, and nobody works behind that."""
    (tmp_path / "list").write_text(STACKED.replace("\\\\", "\\"))
    assert stacked(root, str(tmp_path / "list")) == kind


@pytest.mark.parametrize(
    "kind", ["fuse.rclone", "davfs", "9p", "virtiofs", "glusterfs", "cifs", "nfs4", "fuse.davfs"]
)
def test_state_and_watch_know_the_same_network_file_systems(kind):
    assert is_network(kind)
