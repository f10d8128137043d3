"""Metrics port: `/metrics` only, on loopback addresses and under loopback names only."""

from __future__ import annotations

from http.client import HTTPConnection

import pytest

from syncer.daemon.metrics_server import serve_metrics
from syncer.daemon.status import DaemonStatus
from syncer.errors import SyncerError, UsageError
from tests.daemon.fake_daemon import FakeDaemon


def test_metrics_on_a_port_are_all_that_is_there() -> None:
    daemon = FakeDaemon()
    with serve_metrics("127.0.0.1:0", daemon.status) as server:
        assert b'syncer_job_runs_total{job="docs"} 0\n' in at(server.address, "GET", "/metrics")[1]
        assert at(server.address, "HEAD", "/metrics") == (200, b"")
        assert at(server.address, "GET", "/status")[0] == 404
        assert at(server.address, "POST", "/metrics")[0] == 405
        assert at(server.address, "POST", "/stop")[0] == 404
    with pytest.raises(OSError):
        at(server.address, "GET", "/metrics")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LocalHost:9", "[::1]:9", "127.0.0.1:80", "127.8.8.8"]
)
def test_a_host_that_is_this_machine_is_answered(host: str) -> None:
    with serve_metrics("127.0.0.1:0", FakeDaemon().status) as server:
        assert at(server.address, "GET", "/metrics", host)[0] == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"]
)
def test_a_name_made_to_point_here_is_refused(host: str) -> None:
    asked: list[int] = []

    def status() -> DaemonStatus:
        asked.append(1)
        return FakeDaemon().status()

    with serve_metrics("127.0.0.1:0", status) as server:
        assert at(server.address, "GET", "/metrics", host)[0] == 400
    assert asked == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "9187",
        ":9187",
        "0.0.0.0:9187",
        "[::]:9187",
        "10.0.0.1:9187",
        "example.org:9187",
        "127.0.0.1:99999",
        "127.0.0.1:x",
        "*:1",
    ],
)
def test_an_address_that_others_could_reach_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="metrics"):
        serve_metrics(address, FakeDaemon().status)


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with (
        serve_metrics("localhost:0", FakeDaemon().status) as server,
        pytest.raises(SyncerError, match=r"cannot listen on 127\.0\.0\.1"),
    ):
        serve_metrics(server.address, FakeDaemon().status)


def at(address: str, method: str, target: str, host: str | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection(address, timeout=20)
    try:
        connection.putrequest(method, target, skip_host=host is not None)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
