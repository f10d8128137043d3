"""FolderWatch: changes are reported at once; failures are reported once, and recovered from."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from syncer.watch.backend import WatchdogEvents, open_events
from syncer.watch.dispatcher import Dispatcher
from syncer.watch.executor import Executor
from tests.watch.random_changes import RandomChanges
from tests.watch.recorder import Follower, Recorder, watching

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux'")


def refusing(number):
    """A source of events that cannot be opened."""

    def opened(*_):
        raise OSError(number, os.strerror(number))

    return opened


class Time:
    """`engine.interfaces.Clock`; it stands still until it is told to go."""

    def __init__(self):
        self.seconds = 1000.0

    def now_ns(self):
        return time.time_ns()

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


class Made:
    """Sources of events that are really opened, and kept for the test to break."""

    def __init__(self, make=open_events):
        self._make = make
        self.all = []
        self.refusals = []

    def __call__(self, *arguments):
        if self.refusals:
            number = self.refusals.pop()
            raise OSError(number, os.strerror(number))
        self.all.append(self._make(*arguments))
        return self.all[-1]


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "root"
    (made / "d").mkdir(parents=True)
    return made


@pytest.fixture
def heard():
    return Recorder()


@pytest.fixture(params=["ours", "stock", "looks"])
def means(request):
    """The ways to notice something."""
    return {
        "ours": {"poll": 0.05},
        "stock": {"poll": 0.05, "open_events": WatchdogEvents},
        "looks": {"poll": 0.01, "open_events": refusing(errno.ENOSYS)},
    }[request.param]


# -- what happens -----------------------------------------------------------------


def test_every_change_is_told_as_the_directory_it_happened_in(root, heard, means):
    with watching(root, heard, **means):
        for change, told in (
            (lambda: (root / "d" / "f").write_bytes(b"1"), ["d"]),
            (lambda: (root / "d" / "f").write_bytes(b"22"), ["d"]),
            (lambda: (root / "d" / "f").chmod(0o600), ["d"]),
            ((root / "d" / "sub").mkdir, ["d", "d/sub"]),
            (lambda: os.rename(root / "d" / "sub", root / "sub"), ["d", "", "sub"]),
            (lambda: (root / "sub" / "g").write_bytes(b"1"), ["sub"]),
            (lambda: os.rename(root / "sub" / "g", root / "d" / "g"), ["sub", "d"]),
            ((root / "d" / "g").unlink, ["d"]),
            (lambda: (root / "link").symlink_to("d"), [""]),
            (lambda: shutil.rmtree(root / "sub"), ["", "sub"]),
        ):
            heard.forget()
            change()
            heard.until_told(*told)


@pytest.mark.parametrize("name", ["line\nbreak", os.fsdecode(b"\xff\xfe"), "ä", " "])
def test_a_name_may_be_any(root, heard, means, name):
    with watching(root, heard, **means):
        (root / name).mkdir()
        heard.until_told("", name)
        heard.forget()
        (root / name / name).write_bytes(b"1")
        heard.until_told(name)


def test_an_atomic_replacement_is_told_and_its_staging_is_not(root, heard, means):
    with watching(root, heard, **means):
        staged = root / "d" / ".syncer-tmp-1"
        staged.write_bytes(b"1")
        (root / ".syncer").mkdir()
        (root / ".syncer" / "root-id").write_bytes(b"1")
        os.rename(staged, root / "d" / "f")
        heard.until_told("d")
        heard.forget()
        (root / ".syncer" / "x").write_bytes(b"1")
        (root / ".syncer-tmp-2").write_bytes(b"1")
        (root / "end").mkdir()
        heard.until_told("end")
        assert not heard.covers(".syncer")


@linux
def test_nothing_is_told_of_what_is_only_looked_at(root, heard):
    (root / "d" / "f").write_bytes(b"1")
    with watching(root, heard):
        for _ in range(100):
            (root / "d" / "f").read_bytes()
            os.listdir(root / "d")
        (root / "end").mkdir()
        heard.until_told("end")
        assert heard.times == 1
        assert not heard.covers("d")


@linux
def test_what_is_written_through_memory_is_told_when_the_file_is_closed(root, heard):
    (root / "d" / "f").write_bytes(b"1" * 8192)
    with watching(root, heard):
        with (root / "d" / "f").open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
            view[0:1] = b"2"
        heard.until_told("d")


def test_a_root_that_is_a_link_is_watched_where_it_leads(root, heard, means, tmp_path):
    (tmp_path / "other").mkdir()
    link = tmp_path / "link"
    link.symlink_to(root)
    with watching(link, heard, **means) as watch:
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")
        assert watch.mode != "gone"
        link.unlink()
        link.symlink_to(tmp_path / "other")
        heard.until(lambda: heard.everywhere > 0)
        heard.forget()
        (tmp_path / "other" / "new").mkdir()
        heard.until_told("new")


@pytest.mark.parametrize("wide", [5, pytest.param(50, marks=pytest.mark.long)])
def test_a_tree_that_is_made_in_one_go_is_told_completely(root, heard, tmp_path, wide):
    """Hundreds of directories, a file in each: every one is told, or lies in a tree that is."""
    source = tmp_path / "source"
    for a in range(10):
        for b in range(10):
            for c in range(wide):
                os.makedirs(source / f"{a}/{b}/{c}")
                (source / f"{a}/{b}/{c}/f").touch()
    with watching(root, heard):
        subprocess.run(["cp", "-r", str(source), str(root / "copy")], check=True)
        found = [str(d.relative_to(root)) for d in (root / "copy").rglob("*") if d.is_dir()]
        assert len(found) == 110 + 100 * wide
        heard.until_told(*found)
        heard.forget()
        for directory in found[::100]:
            (root / directory / "later").write_bytes(b"1")
        heard.until_told(*found[::100])


def stir(root, outside, seed, options, *, turns):
    """Random changes while the watch listens in its own threads; in the end all of them are known."""
    outside.mkdir()
    follower, heard = Follower(root), Recorder()
    heard.changed = follower.changed
    with watching(root, heard, **options):
        stirrer = RandomChanges(root, outside, seed)
        for turn in range(turns):
            stirrer.stir(5)
            if turn % 4 == 0:
                time.sleep(0.005)
        heard.until(lambda: not follower.wrong())
        stirrer.stir(20)
        heard.until(lambda: not follower.wrong())


@pytest.mark.parametrize("seed", range(6))
def test_who_looks_where_he_is_told_to_ends_up_knowing_everything(root, tmp_path, seed):
    stir(root, tmp_path / "outside", seed, {}, turns=40)


@pytest.mark.parametrize("seed", range(3))
def test_who_looks_where_looks_tell_him_to_ends_up_knowing_everything(root, tmp_path, seed):
    stir(root, tmp_path / "outside", seed, {"open_events": refusing(errno.ENOSYS), "poll": 0.01}, turns=20)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 400))
def test_who_looks_where_he_is_told_to_ends_up_knowing_everything_long(root, tmp_path, seed):
    stir(root, tmp_path / "outside", seed, {}, turns=300)


# -- what goes wrong ----------------------------------------------------------------


@linux
def test_more_than_the_system_keeps_is_told_as_everywhere_and_said_once(root, heard):
    """The listener stands still while more is written than the kernel's queue and the one behind it hold."""
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for n in range(100):
        (root / f"{n}").mkdir()
    released = threading.Event()

    def changed(places):
        heard.changed(places)
        released.wait(60)

    slow = Recorder()
    slow.changed, slow.say = changed, heard.say
    with watching(root, slow):
        descriptors = [os.open(root / f"{n}" / "f", os.O_CREAT | os.O_WRONLY) for n in range(100)]
        for descriptor in descriptors[:40]:
            os.write(descriptor, b"x")
            time.sleep(0.03)  # a reading each
        for turn in range(3 * room // 100):
            for descriptor in descriptors:
                os.pwrite(descriptor, b"x", turn)
        released.set()
        heard.until(lambda: heard.everywhere > 0)
        (root / "d" / "new").mkdir()
        heard.until(lambda: heard.covers("d/new"))
        heard.forget()
        (root / "d" / "new" / "f").write_bytes(b"1")
        heard.until_told("d/new")
        for descriptor in descriptors:
            os.close(descriptor)
    assert len(heard.said) == 1
    assert "more happened" in heard.said[0][0]
    assert "max_queued_events" in heard.said[0][1]


@pytest.mark.parametrize(
    ("number", "setting"),
    [(errno.ENOSPC, "fs.inotify.max_user_watches="), (errno.EMFILE, "fs.inotify.max_user_instances=")],
)
def test_without_events_there_are_looks_and_the_remedy_is_said_once(root, heard, number, setting):
    clock, made = Time(), Made()
    made.refusals = [number] * 3
    with watching(root, heard, open_events=made, poll=0.01, clock=clock) as watch:
        assert watch.mode == "polling"
        for n in range(3):
            heard.forget()
            (root / "d" / f"f{n}").write_bytes(b"1")
            heard.until_told("d")
            clock.seconds += 1000  # the system is asked again, and refuses again
            heard.until(lambda n=n: len(made.refusals) == max(0, 1 - n))
        heard.until(lambda: watch.mode == "events")
        heard.forget()
        (root / "d" / "new").mkdir()
        heard.until_told("d/new")
        assert watch.mode == "events"
    assert len(heard.said) == 1
    message, remedy = heard.said[0]
    assert "every 0.01 s" in message
    assert f"sudo sysctl {setting}" in remedy
    assert f"echo {setting}" in remedy
    assert "/etc/sysctl.d/" in remedy


def test_a_look_that_takes_long_is_not_repeated_soon(root, heard):
    """By a clock on which a second passes whenever somebody asks for the time."""

    class Ticking(Time):
        def monotonic(self):
            self.seconds += 1
            return self.seconds

    clock, looks = Ticking(), []
    options = {
        "open_events": refusing(errno.ENOSYS),
        "clock": clock,
        "wanted": lambda: bool(looks.append(1)) or True,
    }
    with watching(root, heard, poll=0.001, **options):
        heard.until(lambda: clock.seconds > 1400)
        assert 2 <= len(looks) <= 400 / 20 + 1


@linux
def test_what_changes_between_the_last_look_and_the_first_event_is_told(root, heard):
    clock, made = Time(), Made()
    made.refusals = [errno.ENOSPC]
    with watching(root, heard, open_events=made, poll=0.01, clock=clock, wanted=lambda: False) as watch:
        (root / "d" / "f").write_bytes(b"1")
        time.sleep(0.1)
        assert heard.times == 0  # nobody wants looks
        clock.seconds += 1000
        heard.until(lambda: watch.mode == "events")
        heard.until_told("d")


def test_an_observer_that_dies_is_replaced(root, heard):
    made = Made()
    with watching(root, heard, open_events=made, poll=0.05) as watch:
        for n in range(3):
            heard.forget()
            made.all[n].close()
            heard.until(lambda: heard.everywhere > 0)
            assert watch.mode == "events"
            heard.forget()
            (root / "d" / f"f{n}").write_bytes(b"1")
            heard.until_told("d")
    assert len(made.all) == 4
    assert len(heard.said) == 1
    assert "broke off" in heard.said[0][0]


def test_an_observer_whose_emitter_dies_is_replaced(root, heard):
    made = Made(WatchdogEvents)
    with watching(root, heard, open_events=made, poll=0.05):
        for emitter in made.all[0].observer.emitters:
            emitter.stop()
        heard.until(lambda: heard.everywhere > 0)
        heard.forget()
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")


def test_a_listener_that_fails_ends_nothing(root, heard):
    """What it was told then, it is told again, as EVERYWHERE."""
    failures = [OSError("planted"), OSError("planted")]

    def changed(places):
        if failures:
            raise failures.pop()
        heard.changed(places)

    bad = Recorder()
    bad.changed, bad.say = changed, heard.say
    with watching(root, bad, open_events=refusing(errno.ENOSYS), poll=0.01):
        (root / "d" / "f").write_bytes(b"1")
        heard.until(lambda: not failures and heard.everywhere > 0)
        heard.forget()
        (root / "d" / "g").write_bytes(b"1")
        heard.until_told("d")


def test_a_root_that_goes_is_waited_for(root, heard, means):
    with watching(root, heard, **means) as watch:
        before = watch.mode
        os.rename(root, root.with_name("moved"))
        heard.until(lambda: heard.everywhere > 0 and watch.mode == "gone")
        heard.forget()
        (root.with_name("moved") / "d" / "f").write_bytes(b"1")
        time.sleep(0.2)
        assert heard.times == 0
        os.rename(root.with_name("moved"), root)
        heard.until(lambda: heard.everywhere > 0 and watch.mode == before)
        heard.forget()
        (root / "d" / "g").write_bytes(b"1")
        heard.until_told("d")
        shutil.rmtree(root)
        heard.until(lambda: heard.everywhere > 0 and watch.mode == "gone")
        root.mkdir()
        heard.until(lambda: heard.everywhere > 1 and watch.mode == before)
    assert [m for m, _ in heard.said if "is not there" in m] == [f"{root} is not there"] * 2


def test_a_root_that_another_directory_takes_the_place_of_is_watched_anew(root, heard, means, tmp_path):
    (tmp_path / "other" / "o").mkdir(parents=True)
    with watching(root, heard, **means) as watch:
        before = watch.mode
        os.rename(root, tmp_path / "old")
        os.rename(tmp_path / "other", root)
        heard.until(lambda: heard.everywhere > 0 and watch.mode == before)
        heard.forget()
        (root / "o" / "f").write_bytes(b"1")
        heard.until_told("o")
        heard.forget()
        (tmp_path / "old" / "d" / "f").write_bytes(b"1")
        time.sleep(0.1)
        assert not heard.covers("d")


def test_a_root_whose_parent_is_renamed_is_gone(tmp_path, heard, means):
    (tmp_path / "parent" / "root").mkdir(parents=True)
    with watching(tmp_path / "parent" / "root", heard, **means) as watch:
        os.rename(tmp_path / "parent", tmp_path / "elsewhere")
        heard.until(lambda: heard.everywhere > 0 and watch.mode == "gone")


def test_a_watch_may_begin_before_its_folder_does(tmp_path, heard):
    with watching(tmp_path / "late", heard, poll=0.05) as watch:
        assert watch.mode == "gone"
        (tmp_path / "late").mkdir()
        heard.until(lambda: heard.everywhere > 0 and watch.mode == "events")
        (tmp_path / "late" / "new").mkdir()
        heard.until_told("new")


def test_on_a_network_file_system_all_is_looked_at_besides(root, heard, tmp_path):
    listed = tmp_path / "mountinfo"
    listed.write_text(f"1 1 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / {root} rw shared:1 - nfs4 host:/x rw\n")
    with watching(root, heard, mountinfo=str(listed), poll=0.01) as watch:
        assert watch.mode == "polling"
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")
    assert len(heard.said) == 1
    assert "nfs4" in heard.said[0][0]


@linux
def test_where_there_is_no_more_thread_to_tell_of_events_there_are_looks(root, heard, monkeypatch):
    class Refusing(Executor):
        def call(self, act, *, every=None):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr("syncer.watch.backend.EXECUTOR", Refusing("none"))
    with watching(root, heard, poll=0.05) as watch:
        assert watch.mode == "polling"
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")
    assert "this system gives no events" in heard.said[0][0]


@linux
def test_a_deep_tree_is_watched_with_two_descriptors(root, heard):
    deep = "/".join("d" for _ in range(300))
    (root / deep).mkdir(parents=True)
    gc.collect()  # sockets of earlier tests
    before = len(os.listdir("/proc/self/fd"))
    with watching(root, heard, poll=0.05) as watch:
        assert (watch.mode, len(os.listdir("/proc/self/fd"))) == ("events", before + 2)
        (root / deep / "f").write_bytes(b"1")
        heard.until_told(deep)


@linux
def test_one_folder_s_listener_that_never_returns_is_no_other_folder_s(tmp_path, heard):
    released, stuck = threading.Event(), Recorder()
    stuck.changed = lambda _: released.wait(60)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    try:
        with watching(tmp_path / "one", stuck), watching(tmp_path / "other", heard, poll=0.05) as other:
            (tmp_path / "one" / "f").write_bytes(b"1")
            for n in range(3):
                heard.forget()
                (tmp_path / "other" / f"{n}").mkdir()
                heard.until_told(f"{n}")
            os.rename(tmp_path / "other", tmp_path / "moved")
            heard.until(lambda: other.mode == "gone")
    finally:
        released.set()


@linux
def test_a_reader_of_the_system_s_events_that_ends_in_a_bug_is_replaced(tmp_path, heard, monkeypatch, caplog):
    second = Recorder()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with (
        watching(tmp_path / "one", heard, poll=0.05) as one,
        watching(tmp_path / "other", second, poll=0.05) as other,
    ):
        with monkeypatch.context() as broken:
            broken.setattr(Dispatcher, "_route", lambda *_: 1 / 0)
            (tmp_path / "one" / "f").write_bytes(b"1")
            heard.until(lambda: "ZeroDivisionError" in caplog.text)
        for name, each in (("one", heard), ("other", second)):
            each.until(lambda each=each: each.everywhere > 0)
            each.forget()
            (tmp_path / name / "new").mkdir()
            each.until_told("new")
            assert len(each.said) == 1 and "broke off" in each.said[0][0]
        assert (one.mode, other.mode) == ("events", "events")


# -- beginning and end ----------------------------------------------------------------


def test_it_begins_once_and_ends_for_good(root, heard, means):
    before = threading.active_count()
    with watching(root, heard, **means) as watch:
        watch.start()
        watch.stop()
        watch.stop()
        watch.start()
        (root / "d" / "f").write_bytes(b"1")
        time.sleep(0.1)
        assert heard.times == 0
    assert threading.active_count() == before


def test_a_listener_may_end_the_watch(root, heard, means):
    def changed(places):
        watches[0].stop()
        heard.changed(places)

    ending = Recorder()
    ending.changed = changed
    watches = []
    before = threading.active_count()
    with watching(root, ending, **means) as watch:
        watches.append(watch)
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")
        heard.until(lambda: threading.active_count() == before)


def test_an_end_does_not_wait_for_a_listener_that_never_returns(root, heard, means):
    released = threading.Event()

    def changed(places):
        heard.changed(places)
        released.wait(60)

    stuck = Recorder()
    stuck.changed = changed
    with watching(root, stuck, **means) as watch:
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")
        watch.stop()
        released.set()


def test_no_descriptor_is_left_behind(root, heard):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc here")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with watching(root, heard):
            (root / "d" / "f").write_bytes(b"1")
    with pytest.raises(AssertionError), watching(root, heard, open_events=refusing(errno.ENOSPC)):
        raise AssertionError
    assert set(os.listdir("/proc/self/fd")) == before


@linux
def test_behind_a_stacked_mount_all_is_looked_at_by_interval(root, heard, tmp_path):
    """Written through a mapping, which gives no event, as what is done to a branch of mergerfs."""
    listed, clock = tmp_path / "mountinfo", Time()
    listed.write_text(f"36 22 0:35 / {tmp_path} rw - fuse.mergerfs a:b rw\n")
    (root / "d" / "f").write_bytes(b"12345")
    with watching(root, heard, mountinfo=str(listed), poll=0.01, clock=clock, interval=300.0) as watch:
        assert watch.mode == "events and interval" and heard.said == []
        (root / "d" / "g").write_bytes(b"by event")
        heard.until_told("d")
        heard.forget()
        with open(root / "d" / "f", "r+b") as file, mmap.mmap(file.fileno(), 5) as mapped:
            mapped[:] = b"54321"
            mapped.flush()
        clock.seconds += 299
        heard.forget()
        clock.seconds += 2
        heard.until_told("d")
