"""`login`, `logout`, `doctor ACCOUNT` as a person calls them; a browser is a script that plays the person."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from tests.cli.conftest import Answer, Machine
from tests.cli.test_process import environment, program
from tests.doubles.hubic import HubicDouble
from tests.doubles.orange import OrangeDouble
from tests.doubles.ovh import OvhDouble
from tests.doubles.smartfile import SmartFileDouble
from tests.jobs.login.conftest import hubic, hubic_url, orange, ovh, ovh_url, site, swift
from tests.jobs.login.players import redirect
from tests.swift.server import Swift

__all__ = ["hubic", "hubic_url", "orange", "ovh", "ovh_url", "site", "swift"]

# Follows where the page leads, as a browser does, and tells how it was called.
BROWSER = """
import json, sys, requests
with open(sys.argv[1], "a") as calls:
    calls.write(json.dumps(sys.argv[2:]) + "\\n")
requests.get(sys.argv[2], timeout=20)
"""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No keyring and no display of whoever runs the tests."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)


def browser(machine: Machine) -> str:
    """What BROWSER is to be."""
    script = machine.home / "browser.py"
    script.write_text(BROWSER)
    return f"{sys.executable} {script} {machine.home / 'calls'} %s"


def table(name: str, **keys: str) -> str:
    """A table of an account as TOML."""
    return (
        "\n".join([f"[accounts.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())])
        + "\n"
    )


def orange_table(double: OrangeDouble) -> str:
    return table(
        "cloud",
        type="orange",
        client_id=double.login.client_id,
        client_secret=double.login.client_secret,
        redirect_uri=double.login.redirect_uri,
        api_url=double.api_url,
        content_url=double.content_url,
        auth_url=double.auth_url,
    )


def hubic_table(double: HubicDouble, url: str, **more: str) -> str:
    keys = {"client_id": double.client_id, "client_secret": double.client_secret, "api_url": url}
    return table("cloud", type="swift", auth="hubic", redirect_uri=double.redirect_uri, **keys, **more)


def site_table(double: SmartFileDouble) -> str:
    known = double.site.credentials
    keys = {"client_token": known.client_token, "client_secret": known.client_secret}
    return table("cloud", type="smartfile", url=double.url, **keys)


def call(machine: Machine, *words: str, typed: str = "", **environ: str) -> Answer:
    """The program as a process of its own, with something to read on stdin."""
    done = subprocess.run(
        program(*words), env=environment() | environ, input=typed, capture_output=True, text=True, timeout=60
    )
    return Answer(code=done.returncode, out=done.stdout, err=done.stderr)


def playing(words: list[str], answer: object) -> Answer:
    """The program, whose question is answered by a person who opens the page that it shows."""
    assert callable(answer)
    with subprocess.Popen(
        words, env=environment(), stdin=-1, stdout=-1, stderr=-1, text=True, bufsize=1
    ) as running:
        assert running.stdin and running.stdout and running.stderr
        said = ""
        while not said.rstrip().endswith(":") or "http" not in said or "Paste" not in said:
            said += (line := running.stderr.readline())
            assert line, said
        url = re.findall(r"https?://\S+", said)[-1]
        running.stdin.write(answer(url) + "\n")
        running.stdin.close()
        out, err = running.stdout.read(), said + running.stderr.read()
    return Answer(code=running.returncode, out=out, err=err)


def kept(machine: Machine) -> list[str]:
    """The files that logins left."""
    return sorted(p.name for p in machine.state.glob("tokens/*"))


def test_orange_by_the_browser_and_a_page_of_what_is_there(machine: Machine, orange: OrangeDouble) -> None:
    orange.write("docs/été.txt", b"content")
    machine.configure(orange_table(orange))
    answer = call(machine, "login", "cloud", "--json", BROWSER=browser(machine))
    assert answer.code == 0, answer.err
    assert answer.document == {"schema": 1, "account": "cloud", "ok": True, "action": "login", "kept": "file"}
    assert kept(machine) == ["cloud.json"]
    listed = machine.call("ls", "cloud:docs", "--json").document
    assert [(e["name"], e["kind"], e["size"]) for e in listed["entries"]] == [("été.txt", "file", 7)]
    assert machine.call("quota", "cloud:", "--json").document["free"] == orange.options.room - 7
    assert machine.call("logout", "cloud").out == "cloud: logged out\n"
    assert kept(machine) == []
    assert machine.call("logout", "cloud", "--json").document == {
        "schema": 1,
        "account": "cloud",
        "removed": False,
    }
    out = machine.call("quota", "cloud:")
    assert out.code == 7 and "syncer login cloud" in out.err


def test_orange_on_a_machine_without_a_browser(machine: Machine, orange: OrangeDouble) -> None:
    machine.configure(orange_table(orange))

    def paste(url: str) -> str:
        return redirect(requests.get(url, timeout=20, allow_redirects=False))

    for words in (["login", "cloud", "--no-browser"], ["login", "cloud"]):
        answer = playing(program(*words), paste)
        assert answer.code == 0, answer.err
        assert answer.out.startswith("cloud: logged in to Orange Cloud; ")
        assert answer.out.endswith("; kept in a private file under the state directory\n")
    wrong = call(machine, "login", "cloud", "--no-browser", "--json", typed="OFC-wrong\n")
    assert wrong.code == 7 and "invalid_grant" in wrong.document["error"]["message"]
    nobody = call(machine, "login", "cloud", "--no-browser")
    assert nobody.code == 7 and "no code in it" in nobody.err


def test_a_denial_exits_7_and_keeps_nothing(machine: Machine, orange: OrangeDouble) -> None:
    orange.login.consents = False
    machine.configure(orange_table(orange))
    answer = call(machine, "login", "cloud", BROWSER=browser(machine))
    assert answer.code == 7 and "access_denied" in answer.err and answer.out == ""
    assert kept(machine) == []


def test_nobody_comes(machine: Machine, orange: OrangeDouble) -> None:
    machine.configure(orange_table(orange))
    answer = call(machine, "login", "cloud", "--timeout", "1s", BROWSER="true %s")
    assert answer.code == 7 and "nobody logged in within 1s" in answer.err
    assert machine.call("login", "cloud", "--timeout", "soon").code == 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_login_that_is_stopped_leaves_nothing_behind(
    machine: Machine, orange: OrangeDouble, signum: signal.Signals
) -> None:
    machine.configure(orange_table(orange))
    # What was started by `nohup` or `&` ignores SIGINT, and so would a child of these tests.
    command = ["env", "--default-signal=INT", *program("login", "cloud")]
    with subprocess.Popen(
        command,
        env=environment() | {"BROWSER": "true %s"},
        stderr=-1,
        text=True,
    ) as running:
        assert running.stderr
        while "http" not in running.stderr.readline():
            assert running.poll() is None
        running.send_signal(signum)
        rest = running.stderr.read()
    assert running.returncode == (130 if signum == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in rest
    assert kept(machine) == []
    with pytest.raises(requests.ConnectionError):
        requests.get(orange.login.redirect_uri, timeout=5)


def test_the_browser_is_called_without_any_secret(machine: Machine, orange: OrangeDouble) -> None:
    machine.configure(orange_table(orange))
    call(machine, "login", "cloud", BROWSER=browser(machine))
    [words] = [json.loads(line) for line in (machine.home / "calls").read_text().splitlines()]
    assert "client_id=" in words[0] and orange.login.client_secret not in json.dumps(words)


def test_hubic_by_user_and_password(machine: Machine, hubic: HubicDouble, hubic_url: str) -> None:
    machine.configure(hubic_table(hubic, hubic_url, username=hubic.user, password=hubic.password))
    answer = machine.call("login", "cloud", "--json")
    assert answer.code == 0 and answer.document["kept"] == "file"
    machine.configure(hubic_table(hubic, hubic_url))
    assert machine.call("quota", "cloud:", "--json").document["free"] == hubic.quota - hubic.used
    machine.configure(hubic_table(hubic, hubic_url, username=hubic.user, password="made-up wrong"))
    assert machine.call("login", "cloud").code == 7


def test_ovh_waits_for_the_key(
    machine: Machine, ovh: OvhDouble, ovh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"endpoint": ovh_url, "application_key": ovh.key, "application_secret": ovh.secret}
    machine.configure(table("cloud", type="swift", auth="ovh", **keys))

    def validate() -> None:
        ovh.faults.wait_until(lambda log: any(asked.path.endswith("/cloud/project") for asked in log))
        list(ovh.credentials.values())[-1].state = "validated"

    person = threading.Thread(target=validate)
    person.start()
    answer = machine.call("login", "cloud")
    person.join()
    assert answer.code == 0, answer.err
    assert "GET /cloud/project and POST /cloud/project/*/storage/access" in answer.err
    assert "credentialToken=" in answer.err and kept(machine) == ["cloud.json"]
    assert machine.call("login", "cloud", "--timeout", "1s").code == 7
    assert machine.call("quota", "cloud:").code == 0, "the old key is still there"


def test_smartfile_by_a_code_that_is_pasted(machine: Machine, site: SmartFileDouble) -> None:
    machine.configure(site_table(site))

    def allow(url: str) -> str:
        return str(re.findall("<code>(.*)</code>", requests.get(url, timeout=20).text)[0])

    answer = playing(program("login", "cloud"), allow)
    assert answer.code == 0, answer.err
    site.write("docs/a.txt", b"content")
    assert machine.call("ls", "cloud:docs").out.split()[-1] == "a.txt"
    wrong = call(machine, "login", "cloud", typed="made-up\n")
    assert wrong.code == 7 and "verification code" in wrong.err
    assert machine.call("ls", "cloud:docs").code == 0


def test_accounts_with_nothing_to_log_in_to_are_tried(
    machine: Machine, swift: Swift, site: SmartFileDouble
) -> None:
    url, token = swift.log_in()
    machine.configure(
        table("v1", type="swift", auth="v1", auth_url=swift.auth_url, user=swift.user, key=swift.key)
        + table("wrong", type="swift", auth="v1", auth_url=swift.auth_url, user=swift.user, key="made-up")
        + table("token", type="swift", auth="token", storage_url=url, token=token)
        + table("old", type="swift", auth="token", storage_url=url, token="AUTH_made-up")
        + table("site", type="smartfile", url=site.url, key=site.key, password=site.password)
        + table("other", type="smartfile", url=site.url, key=site.key, password="made-up" * 6)
    )
    for name in ("v1", "token", "site"):
        answer = machine.call("login", name)
        assert (answer.code, answer.out) == (
            0,
            f"{name}: the credentials work; there is nothing to log in to\n",
        )
        assert machine.call("login", name, "--json").document["action"] == "check"
    for name in ("wrong", "old", "other"):
        answer = machine.call("login", name, "--json")
        assert answer.code == 7 and answer.document["error"]["exit"] == 7, name
        assert "made-up" not in answer.out + answer.err
    unknown = machine.call("login", "tokem")
    assert unknown.code == 2 and 'did you mean "token"' in unknown.err
    assert not machine.state.exists()


def test_doctor_says_of_an_account_what_works_and_what_to_do(
    machine: Machine, swift: Swift, orange: OrangeDouble
) -> None:
    keys = {"auth_url": swift.auth_url, "user": swift.user}
    machine.configure(
        table("v1", type="swift", auth="v1", key=swift.key, **keys)
        + table("wrong", type="swift", auth="v1", key="made-up", **keys)
        + table(
            "gone", type="swift", auth="v1", auth_url="http://127.0.0.1:9/auth", user="a:b", key="made-up"
        )
        + orange_table(orange)
    )
    good = machine.call("doctor", "v1", "--json")
    assert good.code == 0 and good.document["ok"] is True
    told = {check["name"]: check["message"] for check in good.document["checks"]}
    assert {"librsync", "v1 host", "v1 credentials", "v1 quota", "v1 limits", "v1 window"} <= told.keys()
    assert "clocks agree" in told["v1 host"] and "no TLS" in told["v1 host"]
    assert "objects up to 5.4 GB" in told["v1 limits"] and told["v1 window"]
    bad = machine.call("doctor", "wrong", "gone", "cloud")
    assert bad.code == 1
    assert re.search(r"BAD  wrong credentials .*\n +-> .*key", bad.out)
    assert re.search(r"BAD  gone host .*\n +-> is the server running, and the port right", bad.out)
    assert re.search(
        r"BAD  cloud credentials .*nobody has logged in.*\n +-> log in: syncer login cloud", bad.out
    )
    assert "made-up" not in bad.out + bad.err
    everything = machine.call("doctor")
    assert everything.code == 1 and len(everything.out.splitlines()) <= 40
    assert machine.call("doctor", "nobody").code == 2


def test_ls_and_quota_of_a_swift_account(machine: Machine, swift: Swift) -> None:
    url, token = swift.log_in()
    name = swift.fresh_name()
    requests.put(f"{url}/{name}", headers={"X-Auth-Token": token}, timeout=20).raise_for_status()
    put = requests.put(
        f"{url}/{name}/docs/a.txt", data=b"content", headers={"X-Auth-Token": token}, timeout=20
    )
    put.raise_for_status()
    machine.configure(
        table("v1", type="swift", auth="v1", auth_url=swift.auth_url, user=swift.user, key=swift.key)
    )
    assert f"{name}/" in machine.call("ls", "v1:").out.split()
    assert [e["kind"] for e in machine.call("ls", f"v1:{name}", "--json").document["entries"]] == [
        "directory"
    ]
    [file] = machine.call("ls", f"v1:{name}/docs", "--json").document["entries"]
    assert (file["name"], file["size"]) == ("a.txt", 7)
    assert machine.call("ls", f"v1:{name}/docs/a.txt", "--json").document["entries"] == [file]
    gone = machine.call("ls", f"v1:{name}/nowhere")
    assert gone.code == 3 and "nothing at" in gone.err
    room = machine.call("quota", "v1:", "--json").document
    assert room["free"] is None and isinstance(room["used"], int)
    assert "not said" in machine.call("quota", f"v1:{name}").out


def test_ls_and_quota_of_a_folder_here(machine: Machine) -> None:
    machine.write("local", "a.txt", "12345", mtime=1_700_000_000)
    machine.write("local", "sub/inside", "x")
    (machine.local / "evil\n").write_text("x")
    (machine.local / "link").symlink_to("a.txt")
    listed = machine.call("ls", f"local:{machine.local}")
    assert listed.out.splitlines()[0] == "       5 B  2023-11-14 22:13:20  a.txt"
    assert listed.out.count("\n") == 4 and "link -> a.txt" in listed.out and "sub/" in listed.out
    rows = machine.call("ls", f"local:{machine.local}", "--json").document["entries"]
    assert rows[0] == {"name": "a.txt", "kind": "file", "size": 5, "mtime": "2023-11-14T22:13:20Z"}
    assert [row["kind"] for row in rows] == ["file", "file", "symlink", "directory"]
    alone = machine.call("ls", f"local:{machine.local}/a.txt", "--json").document["entries"]
    assert alone == rows[:1]
    assert machine.call("ls", f"local:{machine.local}/gone").code == 3
    assert machine.call("ls", "nobody:x").code == 2 and machine.call("ls", "x").code == 2
    room = machine.call("quota", f"local:{machine.local}", "--json").document
    assert room["total"] >= room["free"] > 0
    assert machine.call("quota", "local:").code == 0
    assert machine.call("quota", f"local:{machine.home}/gone").code == 3
    assert not (machine.local / ".syncer").exists() and not machine.state.exists()


def test_tokens_of_an_account_are_for_its_own_state_directory(machine: Machine, orange: OrangeDouble) -> None:
    elsewhere = machine.home / "elsewhere"
    machine.configure(f"state_dir = {json.dumps(str(elsewhere))}\n" + orange_table(orange))
    assert call(machine, "login", "cloud", BROWSER=browser(machine)).code == 0
    [file] = (elsewhere / "tokens").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600 and Path(file).parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(elsewhere) == ["tokens"]
