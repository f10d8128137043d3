"""Drives the official client of SmartFile (`smartfile` 2.19 on the package index) against any server.

    report = drive("basic", url, key=key, password=password)
    assert report["failed"] == {}, report

Each exercise is a list of steps; a step that raises does not stop the next ones. They run in a process
of their own: the client leaves files and connections open, warns while it is imported, and its sync part
calls librsync with wrong prototypes, which may end the process. Run as a program, this module is that
process; it imports nothing of the tests.

Defects of the client itself are steps like others, and fail: see `exercise_sync` and `exercise_oauth`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

_ENDED = ("SUCCESS", "FAILURE")


def drive(exercise: str, url: str, *, key: str, password: str) -> dict[str, Any]:
    """One exercise ("basic", "sync", "mended-sync", "oauth") in a process of its own.

    Returns `done` (names of steps), `failed` (name: the error's last line) and `died` (None, or the signal
    that ended the process, with the steps before it in `done`). For "oauth", key and password are those of
    the client.
    """
    with tempfile.TemporaryDirectory(prefix="client-") as folder:
        done = subprocess.run(
            # -P: or `smartfile` would be the double that stands beside this file
            [sys.executable, "-P", "-W", "ignore", str(Path(__file__).resolve()), exercise, url],
            cwd=folder,
            env={**os.environ, "SMARTFILE_API_KEY": key, "SMARTFILE_API_PASSWORD": password},
            capture_output=True,
            text=True,
            timeout=120,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    report: dict[str, Any] = {
        "done": [line["step"] for line in lines if line["error"] is None],
        "failed": {line["step"]: line["error"] for line in lines if line["error"] is not None},
        "died": -done.returncode if done.returncode < 0 else None,
    }
    if done.returncode > 0:
        raise AssertionError(f"the exercise itself failed:\n{done.stderr}")
    return report


class Steps:
    """Runs named steps and prints one line of JSON for each, at once: a crash loses none."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A failure is told and ends here."""
        error = None
        try:
            yield
        except Exception as raised:  # noqa: BLE001  the client raises whatever comes
            error = traceback.format_exception_only(raised)[-1].strip()
        print(json.dumps({"step": name, "error": error}), flush=True)


def exercise_basic(url: str, key: str, password: str) -> None:
    """Every public method of `BasicClient`, and each endpoint that a sync tool needs."""
    from smartfile import BasicClient
    from smartfile.errors import ResponseError

    api = BasicClient(key, password, url=url)
    steps = Steps()
    content = bytes(range(256)) * 1000
    with steps.step("ping"):
        assert api.get("ping") == {"ping": "pong"}
    with steps.step("whoami names the user and the quota"):
        answer = api.get("whoami")
        assert answer["user"]["username"]
        assert int(answer["site"]["quota"]["disk_bytes_tally"]) <= int(
            answer["site"]["quota"]["disk_bytes_limit"]
        )
    with steps.step("upload puts a file into the root"):
        api.upload("alpha.bin", io.BytesIO(content))
        assert _stat(api, "/alpha.bin")["size"] == len(content)
    with steps.step("upload replaces"):
        api.upload("alpha.bin", io.BytesIO(content[:1000]))
        assert _stat(api, "/alpha.bin")["size"] == 1000
    with steps.step("download"):
        api.download("alpha.bin")  # to a file of that name in the working directory
        _collect()
        assert Path("alpha.bin").read_bytes() == content[:1000]
    with steps.step("mkdir makes the parents, and twice is fine"):
        for _ in range(2):
            assert api.post("/path/oper/mkdir/", path="/docs/deep")["isdir"]
    with steps.step("post uploads into a directory"):
        api.post("/path/data/docs/", file=("söme text.txt", io.BytesIO(b"text")))
        assert api.get("/path/data", "docs/söme text.txt").read() == b"text"
    with steps.step("listing"):
        answer = api.get("/path/info", "docs", children="true")
        assert [(c["name"], c["isdir"]) for c in answer["children"]] == [
            ("deep", True),
            ("söme text.txt", False),
        ]
        assert answer["total"] == 2 and answer["page"] == answer["pages"] == 1
    with steps.step("attributes are kept"):
        api.post("/path/info", "alpha.bin", attributes=["modified=2026-01-01 10:00:00", "checksum=ab=c"])
        assert _stat(api, "alpha.bin")["attributes"] == {
            "modified": "2026-01-01 10:00:00",
            "checksum": "ab=c",
        }
    with steps.step("rename"):
        assert api.post("/path/oper/rename/", src="/alpha.bin", dst="/beta.bin")["path"] == "/beta.bin"
    with steps.step("move into a directory"):
        assert _end(api, api.move("beta.bin", "docs")) == {}
        assert _stat(api, "/docs/beta.bin")["size"] == 1000
    with steps.step("checksum"):
        task = api.post("/path/oper/checksum/", path="/docs/beta.bin", algorithm="MD5")
        assert _result(api, task)["checksums"] == {"/docs/beta.bin": md5(content[:1000]).hexdigest()}
    with steps.step("a JSON file comes back parsed: the client's trap"):
        api.upload("data.json", io.BytesIO(b'{"a": 1}'))
        assert api.get("/path/data", "data.json") == {"a": 1}
    with steps.step("remove"):
        for path in ("/docs", "/data.json"):
            assert _end(api, api.remove(path)) == {}
        _refused(ResponseError, 404, lambda: api.get("/path/info", "docs"))
    with steps.step("remove of a missing path is refused at once"):
        _refused(ResponseError, (400, 404), lambda: api.remove("/docs"))
    with steps.step("a directory is no download"):
        api.post("/path/oper/mkdir/", path="/folder")
        _refused(ResponseError, 415, lambda: api.get("/path/data", "folder"))
    with steps.step("wrong credentials"):
        _refused(ResponseError, (401, 403), lambda: BasicClient("x" * 40, "y" * 40, url=url).get("ping"))


def exercise_sync(url: str, key: str, password: str, *, mended: bool = False) -> None:
    """`SyncClient` both ways, over a file that shares most of its content with the other side.

    As published, with python-librsync 0.1.post5, only uploads work: `rs_sig_begin` is called without its
    third argument, so that a local signature is of no certain kind, and the callback of `rs_patch_begin`
    has another prototype than librsync's, so that a delta with a copy makes a wrong file, without an error.
    With `mended`, `rdiff` stands in for these two local calls and everything else is the client's own.
    """
    import librsync
    from smartfile import BasicClient
    from smartfile.sync import SyncClient

    if mended:
        librsync.signature, librsync.patch = _rdiff_signature, _rdiff_patch
    api = BasicClient(key, password, url=url)
    sync = SyncClient(api, block_size=1024)
    steps = Steps()
    old = bytes((i * i + i // 251) % 256 for i in range(60_000))
    new = old[:20_000] + b"inserted" + old[20_000:50_000]
    with steps.step("upload sends a delta"):
        api.upload("synced.bin", io.BytesIO(old))
        Path("local.bin").write_bytes(new)
        sync.upload("local.bin", "synced.bin")
        assert api.get("/path/data", "synced.bin").read() == new
    with steps.step("upload over an empty file"):
        api.upload("empty.bin", io.BytesIO(b""))
        sync.upload("local.bin", "empty.bin")
        assert api.get("/path/data", "empty.bin").read() == new
    with steps.step("download receives a delta"):
        api.upload("synced.bin", io.BytesIO(new))
        Path("download.bin").write_bytes(old)
        sync.download("download.bin", "synced.bin")
        assert Path("download.bin").read_bytes() == new


def exercise_oauth(url: str, client_token: str, client_secret: str) -> None:
    """The three steps by which `OAuthClient` gets its tokens, then a call."""
    import requests
    from smartfile import OAuthClient

    api = OAuthClient(client_token, client_secret, url=url)
    steps = Steps()
    with steps.step("request token"):
        request = api.get_request_token("http://localhost/back")
    with steps.step("known defect: get_authorization_url on Python 3"):
        api.get_authorization_url()
    with steps.step("authorize"):
        where = f"{url}oauth/authorize/?{urlencode({'oauth_token': request.token})}"
        back = requests.get(where, allow_redirects=False, timeout=20).headers["location"]
        verifier = back.partition("oauth_verifier=")[2]
    with steps.step("access token"):
        api.get_access_token(request, verifier)
    with steps.step("a call"):
        assert api.get("ping") == {"ping": "pong"}
    with steps.step("an upload"):
        api.upload("by-oauth.txt", io.BytesIO(b"signed"))
        assert api.get("/path/data", "by-oauth.txt").read() == b"signed"


def _stat(api: Any, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = api.get("/path/info", path)
    return answer


def _result(api: Any, task: dict[str, Any]) -> dict[str, Any]:
    """What a task ended with, in either layout."""
    for _ in range(200):
        answer = api.get("/task", task["uuid"])
        state = answer["result"] if "status" in answer["result"] else answer
        if state["status"] in _ENDED:
            assert state["status"] == "SUCCESS", answer
            result: dict[str, Any] = state["result"]
            return result
        time.sleep(0.02)
    raise AssertionError("the task never ended")


def _end(api: Any, task: dict[str, Any]) -> dict[str, str]:
    errors: dict[str, str] = _result(api, task).get("errors") or {}
    return errors


def _refused(kind: type[Any], status: int | tuple[int, ...], call: Callable[[], object]) -> None:
    seen = None
    try:
        call()
    except kind as error:
        seen = error.status_code
    assert seen in (status if isinstance(status, tuple) else (status,)), f"answered {seen}"


def _collect() -> None:
    """`download` leaves closing its file to the garbage collector."""
    import gc

    gc.collect()


def _rdiff_signature(f: Any, s: Any = None, block_size: int = 2048) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "base").write_bytes(f.read())
        options = ["-H", "md4", "-R", "rollsum", "-b", str(block_size), "-S", "8"]
        subprocess.run(["rdiff", *options, "signature", "base", "made"], cwd=folder, check=True)
        return io.BytesIO(Path(folder, "made").read_bytes())


def _rdiff_patch(f: Any, d: Any, o: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "base").write_bytes(f.read())
        Path(folder, "delta").write_bytes(d.read())
        subprocess.run(["rdiff", "patch", "base", "delta", "made"], cwd=folder, check=True)
        o.write(Path(folder, "made").read_bytes())
        o.flush()
        return o


def main() -> None:
    """The process of `drive`; credentials come by the client's own environment variables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("exercise", choices=("basic", "sync", "mended-sync", "oauth"))
    parser.add_argument("url")
    given = parser.parse_args()
    key, password = os.environ.pop("SMARTFILE_API_KEY"), os.environ.pop("SMARTFILE_API_PASSWORD")
    match given.exercise:
        case "basic":
            exercise_basic(given.url, key, password)
        case "oauth":
            exercise_oauth(given.url, key, password)
        case kind:
            exercise_sync(given.url, key, password, mended=kind == "mended-sync")


if __name__ == "__main__":
    main()
