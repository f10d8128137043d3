"""Buckets on the real S3 servers."""

from tests.s3.fixtures import bucket, running_s3_server, s3_server

__all__ = ["bucket", "running_s3_server", "s3_server"]
