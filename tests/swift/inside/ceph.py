"""A throw-away Ceph on loopback: a monitor, an object storage daemon in memory, a RADOS Gateway.

No `ceph` command, no manager, no systemd. The one OSD stands in the map that the monitor is made with
(`ceph-mon --mkfs --osdmap`), so nothing has to be asked for it, and the gateway answers after a second.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

SECONDS = 60  # in which a start is given up
_TRIES = 3  # another process may take a port between our look and the daemon's
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_waitpid = os.waitpid  # eventlet's, put in its place later, sleeps: no handler of a signal may

_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    "client.rgw": {"mon": "allow rwx", "osd": "allow rwx"},
}

_CONF = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {root}/keyring
run_dir = {root}/run
admin_socket =
crash_dir = {root}/crash
log_file = {root}/log/$name.log
mon_cluster_log_to_file = false
debug_mon = 0
debug_paxos = 0
debug_osd = 0
debug_rocksdb = 0
debug_ms = 0
erasure_code_dir = {libraries}/ceph/erasure-code
osd_class_dir = {libraries}/rados-classes
plugin_dir = {libraries}/ceph
auth_allow_insecure_global_id_reclaim = false
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_max_object_name_len = 2048
[mon]
mon_data = {root}/mon
mon_initial_members = a
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[osd]
osd_data = {root}/osd
osd_objectstore = memstore
memstore_device_bytes = {room}
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_heartbeat_grace = 600
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_thread_pool_size = 64
rgw_enable_usage_log = false
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
{more}
"""


class Ceph:
    """One cluster below `root`. `programs`: where the packages are unpacked; `more`: options of RGW."""

    def __init__(
        self, root: Path, programs: Path, *, room: int = 6 << 30, more: Mapping[str, str] | None = None
    ) -> None:
        self._root = root
        self._programs = programs
        self._room = room
        self._more = "\n".join(f"{name} = {value}" for name, value in (more or {}).items())
        self._daemons: list[subprocess.Popen[bytes]] = []
        folders = [programs / "root" / "usr" / "lib", programs / "root" / "lib"]
        self._libraries = [found for folder in folders for found in folder.glob("*-linux-gnu")]
        self.port = 0

    def start(self) -> None:
        """Until the gateway answers. Raises OSError with the last words of what failed."""
        for attempt in range(1, _TRIES + 1):
            try:
                return self._start()
            except OSError:
                self.stop()
                if attempt == _TRIES:
                    raise

    def user(self, uid: str, key: str, *, access: str = "full") -> None:
        """A user with a subuser of Swift's (`UID:swift`), an account of its own, and its key.

        The S3 access key of the user is `uid`, its secret key is `key`.
        """
        if access == "full":
            keys = ("--access-key", uid, "--secret-key", key)
            self._admin("user", "create", "--uid", uid, "--display-name", uid, *keys)
        name = f"{uid}:swift" if access == "full" else f"{uid}:{access}"
        self._admin("subuser", "create", "--uid", uid, "--subuser", name, "--access", access)
        self._admin("key", "create", "--subuser", name, "--key-type", "swift", "--secret", key)

    def stop(self) -> None:
        """Ends the daemons: nothing in memory has to be kept."""
        while self._daemons:
            daemon = self._daemons.pop()
            if daemon.poll() is None:
                daemon.kill()
                _waitpid(daemon.pid, 0)

    def _start(self) -> None:
        shutil.rmtree(self._root / "ceph", ignore_errors=True)
        root = self._root / "ceph"
        for name in ("run", "log", "crash", "mon", "osd"):
            (root / name).mkdir(parents=True)
        fsid, (v1, v2, self.port) = str(uuid.uuid4()), _free_ports(3)
        conf = _CONF.format(
            fsid=fsid, v1=v1, v2=v2, port=self.port, root=root, libraries=self._libraries[0],
            room=self._room, more=self._more,
        )  # fmt: skip
        (root / "ceph.conf").write_text(conf)
        (root / "keyring").write_text("".join(_key_of(name, caps) for name, caps in _CAPS.items()))
        address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        maps = str(root / "monmap"), str(root / "osdmap")
        self._run(
            "monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, "--enable-all-features", maps[0]
        )
        self._run("osdmaptool", "-c", str(root / "ceph.conf"), "--createsimple", "1", maps[1])
        keyring = ("--keyring", str(root / "keyring"))
        self._run(
            *self._words("ceph-mon", "--mkfs", "-i", "a", "--monmap", maps[0], "--osdmap", maps[1], *keyring)
        )
        shutil.copy(root / "keyring", root / "mon" / "keyring")
        self._spawn("ceph-mon", "-i", "a")
        self._run(*self._words("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", str(uuid.uuid4())))
        self._spawn("ceph-osd", "-i", "0")
        self._spawn("radosgw", "-n", "client.rgw")
        self._wait()

    def _words(self, program: str, *words: str) -> Sequence[str]:
        return (program, "-c", str(self._root / "ceph" / "ceph.conf"), *words)

    def _admin(self, *words: str) -> None:
        self._run(*self._words("radosgw-admin", "-n", "client.rgw", *words))

    def _environment(self) -> dict[str, str]:
        libraries = [str(one) for one in self._libraries] + [str(one / "ceph") for one in self._libraries]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}

    def _program(self, name: str) -> str:
        return str(self._programs / "root" / "usr" / "bin" / name)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._program(program), *words],
            env=self._environment(), capture_output=True, timeout=SECONDS,
        )  # fmt: skip
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
            raise OSError(f"{program} {' '.join(words)}: exit {done.returncode}\n{said}")

    def _spawn(self, program: str, *words: str) -> None:
        found, *rest = self._words(program, "-f", *words)
        with (self._root / "ceph" / "log" / f"{program}.out").open("wb") as out:
            self._daemons.append(
                subprocess.Popen(
                    [self._program(found), *rest],
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - there are no threads yet
                )
            )

    def _wait(self) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for daemon in self._daemons:
                if daemon.poll() is not None:
                    raise OSError(f"{daemon.args!r} ended: {self._last_words()}")
            try:
                with urlopen(f"http://127.0.0.1:{self.port}/swift/info", timeout=5):
                    return
            except HTTPError:
                return  # any answer is one
            except OSError:
                time.sleep(0.05)
        raise OSError(f"the gateway did not answer: {self._last_words()}")

    def _last_words(self) -> str:
        files = sorted((self._root / "ceph" / "log").iterdir())
        return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-1000:]}" for file in files)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _key_of(name: str, caps: Mapping[str, str]) -> str:
    """An entry of a keyring, as `ceph-authtool --gen-key` writes it: type 1 is AES with 16 bytes."""
    secret = struct.pack("<HIIH", 1, int(time.time()), 0, 16) + os.urandom(16)
    lines = [f"[{name}]", f"\tkey = {b64encode(secret).decode()}"]
    lines += [f'\tcaps {of} = "{what}"' for of, what in caps.items()]
    return "\n".join(lines) + "\n"


def _die_with_parent() -> None:
    """A daemon goes with the process that started it, also where that is killed."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
