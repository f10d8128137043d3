"""Is a host there, is its certificate trusted, how late is its clock: asked without credentials."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from syncer.clock import SystemClock
from syncer.errors import PermanentError, TransientError
from syncer.jobs.diagnostics import host_of, reach


def handler(ahead: float | None, seen: list[dict[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Says no, and what time it is."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response_only(403)
            if ahead is not None:
                self.send_header("Date", self.date_time_string(int(SystemClock().now_ns() / 1e9 + ahead)))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"no")

    return Handler


@contextmanager
def served(
    ahead: float | None = 0.0, wrap: Callable[[ThreadingHTTPServer], None] = lambda _: None
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(ahead, seen))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    wrap(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, signed by itself, with its key in the same file."""
    file = tmp_path / "pair.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
         "-keyout", str(file), "-out", f"{file}.c"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.c").read_text())
    return file


def test_any_answer_will_do_and_nothing_secret_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password made-up\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with served() as (host, seen):
        found = reach(f"http://{host}/v1", clock=SystemClock())
    assert found.tls is None and found.skew is not None and abs(found.skew) < 2
    assert "authorization" not in seen[0]


@pytest.mark.parametrize("ahead", [-7200.0, 90.0])
def test_a_clock_that_is_off_is_seen(ahead: float) -> None:
    with served(ahead) as (host, _):
        found = reach(f"http://{host}/", clock=SystemClock())
    assert found.skew is not None and abs(found.skew - ahead) < 2


def test_a_host_without_a_date_is_reached_too() -> None:
    with served(None) as (host, _):
        assert reach(f"http://{host}/", clock=SystemClock()).skew is None


def test_the_version_of_tls_is_told_where_the_certificate_is_trusted(certificate: Path) -> None:
    def wrap(server: ThreadingHTTPServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)

    with served(wrap=wrap) as (host, seen):
        assert reach(f"https://{host}/", clock=SystemClock(), ca_file=certificate).tls == "TLSv1.3"
        with pytest.raises(PermanentError, match="signed by an unknown authority"):
            reach(f"https://{host}/", clock=SystemClock())
    assert len(seen) == 1


def test_nobody_there_is_trouble_for_the_moment() -> None:
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        reach("http://127.0.0.1:9/", clock=SystemClock())


def test_of_a_url_only_the_host_is_ever_shown() -> None:
    assert host_of("https://me:made-up@swift.example:8080/v1/AUTH_x?temp_url_sig=1") == "swift.example:8080"
