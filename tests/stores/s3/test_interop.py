"""What rclone writes is read with its times, and what Syncer writes is read by rclone."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from syncer.stores.s3.metadata import file_meta, mtime_of
from syncer.stores.s3.multipart import MultipartUploads
from syncer.stores.s3.objects import S3Bucket
from tests.s3.servers import S3Server

NS = 1_354_040_105_123_456_789


@pytest.fixture
def environment(s3_server: S3Server, tmp_path: Path) -> dict[str, str]:
    """rclone's remote `x:` is the server."""
    words = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": s3_server.endpoint,
        "ACCESS_KEY_ID": s3_server.access_key,
        "SECRET_ACCESS_KEY": s3_server.secret_key,
        "REGION": s3_server.region,
    }
    config = {f"RCLONE_CONFIG_X_{name}": value for name, value in words.items()}
    # Of AWS_* variables, such as a CA bundle, this machine's own must not get in.
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**own, **config, "RCLONE_CONFIG": str(tmp_path / "none.conf"), "HOME": str(tmp_path)}


def rclone(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        ["rclone", "--retries=1", "--low-level-retries=2", *words],
        env=environment, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


@pytest.mark.parametrize("size", [10, 11 << 20])
def test_a_file_of_rclone_has_its_time_and_content(
    bucket: S3Bucket, s3_server: S3Server, environment: dict[str, str], tmp_path: Path, size: int
) -> None:
    if s3_server.mock and size > 6 << 20:
        pytest.skip("moto refuses rclone's parts")
    data = os.urandom(size)
    file = tmp_path / "a"
    file.write_bytes(data)
    os.utime(file, ns=(NS, NS))
    cutoff = ("--s3-upload-cutoff=6M", "--s3-chunk-size=5M")
    rclone(environment, "copyto", *cutoff, str(file), f"x:{bucket.client.bucket}/folder/é.bin")
    head = bucket.head("folder/é.bin")
    assert head is not None and head.size == size and mtime_of(head.meta) == NS
    with bucket.get("folder/é.bin") as answer:
        assert answer.read() == data


def test_a_file_of_syncer_has_its_time_and_content_for_rclone(
    bucket: S3Bucket, environment: dict[str, str]
) -> None:
    meta = file_meta(mtime_ns=NS, executable=True)
    bucket.put("small", b"content", meta=meta)
    uploads = MultipartUploads(bucket)
    upload = uploads.create("large", meta=meta)
    first, last = os.urandom(5 << 20), b"the end"
    parts = [uploads.send("large", upload, number, data) for number, data in ((1, first), (2, last))]
    uploads.complete("large", upload, parts)
    rows = json.loads(rclone(environment, "lsjson", f"x:{bucket.client.bucket}"))
    assert {row["Path"]: row["Size"] for row in rows} == {"small": 7, "large": len(first) + len(last)}
    whole = [datetime.fromisoformat(row["ModTime"][:19] + "+00:00").timestamp() for row in rows]
    assert whole == [NS // 10**9] * 2 and all(".123456789Z" in row["ModTime"] for row in rows)
    assert rclone(environment, "cat", f"x:{bucket.client.bucket}/small") == "content"
    end = rclone(environment, "cat", f"--offset={len(first)}", f"x:{bucket.client.bucket}/large")
    assert end.encode() == last
