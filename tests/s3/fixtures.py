"""The fixtures: one server of each kind for each test process, and a bucket of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from syncer.clock import SystemClock
from syncer.stores.s3.client import S3Client
from syncer.stores.s3.credentials import StaticCredentials
from syncer.stores.s3.multipart import MultipartUploads
from syncer.stores.s3.objects import S3Bucket
from syncer.stores.s3.settings import locate
from tests.s3.servers import KINDS, S3Server, shared


@pytest.fixture(scope="session", params=KINDS)
def running_s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the servers in turn; starting one takes 1 to 4 seconds."""
    return shared(request.param)


@pytest.fixture
def s3_server(running_s3_server: S3Server) -> Iterator[S3Server]:
    """Each of the servers in turn, well behaved at the start and at the end of each test."""
    running_s3_server.control.reset()
    yield running_s3_server
    running_s3_server.control.reset()


class Impatient(SystemClock):
    """Does not wait between two tries of a request."""

    def sleep(self, seconds: float) -> None:
        del seconds


def client(server: S3Server, bucket: str) -> S3Client:
    """A client of Syncer's with the server's keys."""
    location = locate(provider="other", endpoint=server.endpoint, region=server.region)
    keys = StaticCredentials(server.access_key, lambda: server.secret_key)
    return S3Client(location, bucket, keys, clock=Impatient(), account="s3")


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[S3Bucket]:
    """A new bucket, emptied and removed afterwards: the servers keep their data in memory."""
    with closing(client(s3_server, f"test-{uuid.uuid4().hex[:12]}")) as requests:
        made = S3Bucket(requests)
        made.create()
        yield made
        s3_server.control.reset()
        uploads = MultipartUploads(made)
        for upload in list(uploads.unfinished()):
            uploads.abort(upload.key, upload.upload)
        made.delete_many([(row.key, row.version) for row in made.versions()])
        made.delete_many([(row.key, "") for row in made.rows()])
        made.delete_bucket()
