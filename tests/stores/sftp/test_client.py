"""The SFTP client against OpenSSH's own server: each operation, seen from the disk below."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from syncer.errors import ChangedUnderUs, NotFound, StoreError, TransientError, Unholdable
from syncer.stores.sftp.client import Extensions, SftpClient
from syncer.stores.sftp.errors import SftpFailure, Unsupported
from syncer.stores.sftp.files import FileWriter, read_range, read_ranges, write_chunks
from syncer.stores.sftp.packets import Attributes, OpenFlags
from tests.real_servers.sshd import Sshd

NEW = OpenFlags.WRITE | OpenFlags.CREATE | OpenFlags.EXCLUSIVE


def path(folder: Path, name: str | bytes = b"") -> bytes:
    """A path as the server gets it."""
    return os.path.join(os.fsencode(folder), os.fsencode(name)) if name else os.fsencode(folder)


def test_openssh_has_every_extension_that_is_used(client: SftpClient) -> None:
    assert client.extensions == Extensions(
        posix_rename=True, hardlink=True, fsync=True, statvfs=True,
        limits=True, copy_data=True, lsetstat=True, expand_path=True,
    )  # fmt: skip
    assert client.limits.read == client.limits.write == 128 << 10
    assert client.limits.handles > 100


def test_a_file_goes_there_and_back(client: SftpClient, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    with client.open(path(tmp_path, "f"), NEW, Attributes(mode=0o640)) as file:
        assert write_chunks(file, [content[:70_000], content[70_000:]]) == len(content)
        file.setstat(Attributes(mtime=1_600_000_000))
        file.fsync()
    assert (tmp_path / "f").read_bytes() == content
    found = client.lstat(path(tmp_path, "f"))
    assert (found.size, found.mtime) == (len(content), 1_600_000_000)
    assert found.is_regular and stat.S_IMODE(found.mode or 0) & 0o600 == 0o600
    with client.open(path(tmp_path, "f"), OpenFlags.READ) as file:
        assert b"".join(read_range(file, 0, len(content))) == content
        assert b"".join(read_range(file, 12_345, 654_321)) == content[12_345 : 12_345 + 654_321]
        assert list(read_range(file, 5, 0)) == []
        spans = [(n * 7919 % 2_900_000, n * 31) for n in range(1000)]
        wanted = b"".join(content[at : at + size] for at, size in spans)
        assert b"".join(read_ranges(file, spans)) == wanted
        with pytest.raises(ChangedUnderUs):
            list(read_range(file, 0, len(content) + 1))


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1234])
def test_a_listing_is_whole(client: SftpClient, tmp_path: Path, count: int) -> None:
    for number in range(count):
        (tmp_path / f"file-{number}").write_bytes(b"x" * number)
    found = {name.name: name.attributes for name in client.listdir(path(tmp_path))}
    assert {name: a.size for name, a in found.items()} == {b"file-%d" % n: n for n in range(count)}


def test_names_are_bytes(client: SftpClient, tmp_path: Path) -> None:
    names = [b"\xff\xfe", "é".encode(), b"new\nline", b" blank ", b"-rf", b"a\\b", b"x" * 255]
    for name in names:
        with client.open(path(tmp_path, name), NEW):
            pass
    assert sorted(os.listdir(os.fsencode(tmp_path))) == sorted(names)
    assert sorted(name.name for name in client.listdir(path(tmp_path))) == sorted(names)


def test_a_listing_that_is_left_early_closes_its_handle(client: SftpClient, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).touch()
    for _ in range(1100):
        next(client.listdir(path(tmp_path)))
    assert client.exists(path(tmp_path))


def test_directories_symlinks_and_links(client: SftpClient, tmp_path: Path) -> None:
    client.mkdir(path(tmp_path, "d"))
    client.symlink(b"../somewhere", path(tmp_path, "d/link"))
    assert os.readlink(tmp_path / "d/link") == "../somewhere"
    assert client.readlink(path(tmp_path, "d/link")) == b"../somewhere"
    assert client.lstat(path(tmp_path, "d/link")).is_symlink
    with pytest.raises(NotFound):
        client.stat(path(tmp_path, "d/link"))
    client.lsetstat(path(tmp_path, "d/link"), Attributes(mtime=1_500_000_000))
    assert int((tmp_path / "d/link").lstat().st_mtime) == 1_500_000_000
    with pytest.raises(SftpFailure):
        client.mkdir(path(tmp_path, "d"))
    with pytest.raises(SftpFailure):
        client.rmdir(path(tmp_path, "d"))
    client.remove(path(tmp_path, "d/link"))
    client.rmdir(path(tmp_path, "d"))
    assert not (tmp_path / "d").exists()
    (tmp_path / "one").write_text("1")
    client.hardlink(path(tmp_path, "one"), path(tmp_path, "two"))
    assert (tmp_path / "one").samefile(tmp_path / "two")
    client.setstat(path(tmp_path, "one"), Attributes(mode=0o755))
    assert (tmp_path / "two").stat().st_mode & 0o777 == 0o755


def test_only_posix_rename_replaces(client: SftpClient, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "new").write_text("new")
    with pytest.raises(SftpFailure):
        client.rename(path(tmp_path, "new"), path(tmp_path, "old"))
    with pytest.raises(SftpFailure):
        client.hardlink(path(tmp_path, "new"), path(tmp_path, "old"))
    with pytest.raises(SftpFailure):
        client.open(path(tmp_path, "old"), NEW)
    assert (tmp_path / "old").read_text() == "old"
    client.posix_rename(path(tmp_path, "new"), path(tmp_path, "old"))
    assert (tmp_path / "old").read_text() == "new"
    assert not (tmp_path / "new").exists()
    client.rename(path(tmp_path, "old"), path(tmp_path, "free"))
    assert (tmp_path / "free").read_text() == "new"


def test_paths_and_file_systems(client: SftpClient, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert client.realpath(path(tmp_path, "./a/..")) == os.fsencode(tmp_path.resolve())
    assert client.expand_path(b"~") == client.realpath(b".")
    found = client.statvfs(path(tmp_path))
    real = os.statvfs(tmp_path)
    assert found.size == real.f_blocks * real.f_frsize
    assert abs(found.free - real.f_bavail * real.f_frsize) < 1 << 30
    assert found.longest_name == 255 and not found.read_only


def test_what_is_missing_is_not_found_and_nothing_else_is(client: SftpClient, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for call in (client.lstat, client.stat, client.remove, client.rmdir, client.readlink):
        with pytest.raises(NotFound):
            call(path(tmp_path, "none"))
    with pytest.raises(NotFound):
        list(client.listdir(path(tmp_path, "none")))
    assert not client.exists(path(tmp_path, "none/below"))
    for wrong in (path(tmp_path, b"x" * 256), b"a\0b", b"x" * (300 << 10)):
        with pytest.raises((Unholdable, SftpFailure)):
            client.lstat(wrong)


def test_many_looks_are_pipelined_and_in_order(client: SftpClient, tmp_path: Path) -> None:
    for number in range(0, 500, 2):
        (tmp_path / str(number)).write_bytes(b"x" * number)
    found = list(client.lstat_many(path(tmp_path, str(n)) for n in range(500)))
    for number, seen in enumerate(found):
        if number % 2:
            assert isinstance(seen, NotFound)
        else:
            assert isinstance(seen, Attributes) and seen.size == number


def test_a_missing_extension_is_refused_here(client: SftpClient, tmp_path: Path) -> None:
    client.extensions = Extensions()
    for call in (client.posix_rename, client.hardlink):
        with pytest.raises(Unsupported):
            call(b"a", b"b")
    with pytest.raises(Unsupported):
        client.statvfs(b"/")


def test_copies_of_ranges_are_made_by_the_server(client: SftpClient, tmp_path: Path) -> None:
    content = os.urandom(5 << 20)
    (tmp_path / "old").write_bytes(content)
    sent = client.connection.sent
    with (
        client.open(path(tmp_path, "old"), OpenFlags.READ) as old,
        client.open(path(tmp_path, "new"), NEW) as new,
    ):
        writer = FileWriter(new)
        writer.copy(old, 1 << 20, 3 << 20, 0)
        writer.write(3 << 20, b"new")
        writer.copy(old, 0, 1000, (3 << 20) + 3)
        writer.finish()
        with pytest.raises(ValueError, match="0 bytes"):
            new.copy(old, 0, 0, 0)
    assert (tmp_path / "new").read_bytes() == content[1 << 20 : 4 << 20] + b"new" + content[:1000]
    assert client.connection.sent - sent < 1000


def test_a_write_that_fails_is_an_error(client: SftpClient) -> None:
    """/dev/full answers each write as a full disk does, but its file system has room."""
    with client.open(b"/dev/full", OpenFlags.WRITE) as file, pytest.raises(SftpFailure):
        write_chunks(file, [b"x" * 100_000])


def test_threads_share_one_connection(client: SftpClient, tmp_path: Path) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        try:
            content = bytes([number]) * (100_000 + number)
            for turn in range(5):
                name = path(tmp_path, f"{number}-{turn}")
                with client.open(name, NEW) as file:
                    write_chunks(file, [content])
                with client.open(name, OpenFlags.READ) as file:
                    if b"".join(read_range(file, 0, len(content))) != content:
                        wrong.append(number)
        except StoreError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert len(list(client.listdir(path(tmp_path)))) == 80


def test_after_close_every_request_fails_at_once(sshd: Sshd) -> None:
    client = SftpClient.connect(sshd.destination, sshd.options())
    client.close()
    client.close()
    with pytest.raises(TransientError, match="closed"):
        client.lstat(b"/")
