"""Operations on six kinds of remotes (local, crypt, webdav, sftp, s3, memory), by an old and a new rclone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncer.errors import AuthError, ConfigError, NotFound, PermanentError, PreconditionFailed, TransientError
from syncer.stores.rclone.backend import Replacement
from syncer.stores.rclone.remote import RcloneRemote, remotes
from tests.stores.rclone.conftest import KINDS, Rig


def upload(remote: RcloneRemote, folder: Path, path: str, content: bytes, mtime: int = 1_600_000_000) -> None:
    """Through a file of this machine."""
    (folder / "staged").write_bytes(content)
    os.utime(folder / "staged", (mtime, mtime))
    assert remote.upload(str(folder), "staged", path).size == len(content)


def read(remote: RcloneRemote, folder: Path, path: str) -> bytes:
    remote.download(path, str(folder), "downloaded")
    return (folder / "downloaded").read_bytes()


def test_content_goes_there_and_back(remote: RcloneRemote, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    upload(remote, tmp_path, "a/b/file", content)
    assert read(remote, tmp_path, "a/b/file") == content
    assert b"".join(remote.read_range("a/b/file", 1000, 200_000)) == content[1000:201_000]
    found = remote.stat("a/b/file")
    assert found is not None and found.size == len(content) and not found.problem
    if remote.backend.mtime_granularity_ns:
        assert found.mtime_ns is not None
        assert abs(found.mtime_ns - 1_600_000_000 * 10**9) < 10**9
    assert [item.name for item in remote.list("a/b").items] == ["file"]
    assert [(item.name, item.is_directory) for item in remote.list("a").items] == [("b", True)]


def test_equal_size_and_time_is_sent_all_the_same(remote: RcloneRemote, tmp_path: Path) -> None:
    upload(remote, tmp_path, "f", b"one")
    upload(remote, tmp_path, "f", b"two")
    assert read(remote, tmp_path, "f") == b"two"
    upload(remote, tmp_path, "g", b"six")
    remote.move("f", "g")
    assert read(remote, tmp_path, "g") == b"two"
    assert remote.stat("f") is None


def test_a_rename_onto_a_taken_name_changes_nothing(remote: RcloneRemote, tmp_path: Path) -> None:
    upload(remote, tmp_path, "f", b"one")
    upload(remote, tmp_path, "g", b"six")
    with pytest.raises(PreconditionFailed):
        remote.move_new("f", "g")
    assert read(remote, tmp_path, "f") == b"one" and read(remote, tmp_path, "g") == b"six"
    assert remote.move_new("f", "free").size == 3
    assert read(remote, tmp_path, "free") == b"one" and remote.stat("f") is None
    with pytest.raises(NotFound):
        remote.move_new("f", "other")


def test_a_missing_folder_is_never_an_empty_one(remote: RcloneRemote, tmp_path: Path) -> None:
    upload(remote, tmp_path, "file", b"x")
    for path in ("none", "none/below", "file"):
        try:
            listing = remote.list(path)
        except (NotFound, PermanentError):
            continue
        assert listing.items == () and not listing.confirmed


def test_directories_are_made_and_go_only_when_empty(remote: RcloneRemote, tmp_path: Path) -> None:
    if not remote.backend.empty_directories:
        pytest.skip("a bucket has no directories")
    remote.mkdir("d/e")
    remote.mkdir("d/e")
    assert remote.list("d/e").items == () and remote.list("d/e").confirmed
    upload(remote, tmp_path, "d/e/f", b"x")
    with pytest.raises(PreconditionFailed):
        remote.rmdir("d/e")
    with pytest.raises((PermanentError, TransientError)) as refused:
        remote.delete_file("d/e")
    assert not isinstance(refused.value, NotFound)
    remote.delete_file("d/e/f")
    with pytest.raises(NotFound):
        remote.delete_file("d/e/f")
    remote.rmdir("d/e")
    with pytest.raises(NotFound):
        remote.rmdir("d/e")
    assert remote.stat("d/e") is None


def test_a_directory_is_renamed(remote: RcloneRemote, tmp_path: Path) -> None:
    for name in ("one", "two", "sub/three"):
        upload(remote, tmp_path, f"old/{name}", name.encode())
    remote.move_directory("old", "new")
    assert {item.name for item in remote.list("new").items} == {"one", "two", "sub"}
    assert read(remote, tmp_path, "new/sub/three") == b"sub/three"
    assert remote.stat("old/one") is None


def test_a_copy_leaves_its_origin(remote: RcloneRemote, tmp_path: Path) -> None:
    upload(remote, tmp_path, "f", b"content")
    remote.copy("f", "d/g")
    assert read(remote, tmp_path, "f") == read(remote, tmp_path, "d/g") == b"content"


def test_odd_names_come_back(remote: RcloneRemote, tmp_path: Path) -> None:
    names = ["é", "e\u0301", "a b", "x?*<>|", "%41", "-rf", "..x", "#1", "[x]{y}"]
    if remote.fs.startswith("webdav:"):  # rclone's own server takes both forms of a letter for one name
        names.remove("e\u0301")
    for name in names:
        upload(remote, tmp_path, f"d/{name}", name.encode())
    assert sorted(item.name for item in remote.list("d").items) == sorted(names)
    for name in names:
        assert b"".join(remote.read_range(f"d/{name}", 0, len(name.encode()))) == name.encode()


def test_an_empty_file_is_a_file(remote: RcloneRemote, tmp_path: Path) -> None:
    upload(remote, tmp_path, "empty", b"")
    assert read(remote, tmp_path, "empty") == b""
    found = remote.stat("empty")
    assert found is not None and not found.is_directory and found.size == 0


def test_features_tell_how_a_file_is_replaced(rig: Rig) -> None:
    kinds = {kind: rig.remote(kind, "x").backend for kind in KINDS if kind != "s3"}
    assert kinds["memory"].replacement is Replacement.OBJECT
    assert {kinds[k].replacement for k in ("local", "crypt", "webdav", "sftp")} == {Replacement.STAGED}
    assert kinds["webdav"].mtime_granularity_ns == 0 and kinds["crypt"].hashes == ()
    assert kinds["sftp"].skips_checksum and not kinds["local"].skips_checksum
    assert any("no modification times" in lack for lack in kinds["webdav"].lacks())
    assert any("empty directories" in lack for lack in kinds["memory"].lacks())


def test_hashes_and_free_space_where_there_are_some(rig: Rig, tmp_path: Path) -> None:
    local = rig.remote("local", "hashes")
    upload(local, tmp_path, "f", b"hello")
    found = local.stat("f", hashes=True)
    assert found is not None and found.hashes == {"md5": "5d41402abc4b2a76b9719d911017c592"}
    assert (local.free_space() or 0) > 0
    assert rig.remote("memory", "x").free_space() is None


def test_the_remotes_of_the_configuration_are_listed(rig: Rig) -> None:
    assert {"local", "crypt", "webdav", "sftp", "memory"} <= set(remotes(rig.client))


def test_a_remote_that_is_not_configured_is_a_config_error(rig: Rig) -> None:
    with pytest.raises(ConfigError):
        RcloneRemote(rig.client, "nowhere:x")


def test_a_wrong_password_of_a_service_is_named(rig: Rig) -> None:
    rig.config.add("locked", "webdav", {"url": "http://127.0.0.1:1", "vendor": "other"})
    with pytest.raises(TransientError):
        RcloneRemote(rig.client, "locked:x").list("")
    text = rig.config.path.read_text()
    section = (
        text[text.index("[webdav]") :]
        .split("\n\n")[0]
        .replace("[webdav]", "[wrong]")
        .replace("user = u", "user = v")
    )
    with open(rig.config.path, "a") as file:
        file.write(f"\n{section}\n")
    with pytest.raises(AuthError) as caught:
        RcloneRemote(rig.client, "wrong:x").list("")
    assert "rclone config reconnect wrong:" in caught.value.hint
