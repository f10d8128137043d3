"""Where an S3 bucket is and how it is addressed: endpoint, region, provider presets, storage options. Pure.

Endpoints are from the providers' documents (2026-06). A preset with `{region}` needs a region; one without
an endpoint (Ceph, MinIO, Garage, other) needs the endpoint to be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from syncer.errors import ConfigError
from syncer.stores.http.origins import origin

DEFAULT_REGION = "us-east-1"


class Addressing(Enum):
    """Where the bucket's name stands: in the path of the URL, or in front of the host name."""

    AUTO = "auto"
    PATH = "path"
    HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPreset:
    """A preset. `region`: the default; `addressing`: what `auto` means there."""

    endpoint: str = ""
    region: str = DEFAULT_REGION
    addressing: Addressing = Addressing.PATH


PROVIDERS: Mapping[str, ProviderPreset] = {
    "aws": ProviderPreset(endpoint="https://s3.{region}.amazonaws.com", addressing=Addressing.HOST),
    "b2": ProviderPreset(endpoint="https://s3.{region}.backblazeb2.com", region="us-west-004"),
    "ceph": ProviderPreset(),
    "cleura": ProviderPreset(endpoint="https://s3-{region}.citycloud.com", region="kna1"),
    "digitalocean": ProviderPreset(endpoint="https://{region}.digitaloceanspaces.com", region="nyc3"),
    "dreamobjects": ProviderPreset(endpoint="https://s3.{region}.dream.io", region="us-east-005"),
    "garage": ProviderPreset(region="garage"),
    "minio": ProviderPreset(),
    "other": ProviderPreset(),
    "ovh": ProviderPreset(endpoint="https://s3.{region}.io.cloud.ovh.net", region="gra"),
    "scaleway": ProviderPreset(endpoint="https://s3.{region}.scw.cloud", region="fr-par"),
    "seaweedfs": ProviderPreset(),
    "swift": ProviderPreset(),
    "wasabi": ProviderPreset(endpoint="https://s3.{region}.wasabisys.com"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Location:
    """The resolved place of a service: where requests go, and what they are signed for."""

    endpoint: str  # scheme, host and port, without a slash at its end
    region: str
    addressing: Addressing  # PATH or HOST

    def url(self, bucket: str) -> str:
        """The URL of a bucket, without a slash at its end; of the service itself for ""."""
        if not bucket:
            return self.endpoint
        if self.addressing is Addressing.HOST:
            parts = urlsplit(self.endpoint)
            return f"{parts.scheme}://{bucket}.{parts.netloc}"
        return f"{self.endpoint}/{bucket}"


def locate(
    *,
    provider: str = "aws",
    endpoint: str = "",
    region: str = "",
    addressing: Addressing = Addressing.AUTO,
    bucket: str = "",
) -> S3Location:
    """Endpoint, region and addressing from an account's settings. Raises ConfigError.

    A bucket with dots is addressed by path over TLS: no wildcard certificate covers `a.b.s3.example`.
    """
    preset = PROVIDERS.get(provider)
    if preset is None:
        raise ConfigError(f"unknown S3 provider {provider!r}; one of {', '.join(sorted(PROVIDERS))}")
    region = region or preset.region
    found = (endpoint or preset.endpoint.format(region=region)).rstrip("/")
    if not found:
        raise ConfigError(f"S3 provider {provider!r} needs an endpoint", hint='write endpoint = "https://…"')
    parts = urlsplit(found)
    if origin(found) is None or parts.path or parts.query or parts.username is not None:
        raise ConfigError(
            f"the S3 endpoint {parts.hostname or ''!r} is not a scheme and a host",
            hint="write for example https://s3.example.net, without bucket and folder",
        )
    if addressing is Addressing.AUTO:
        custom = bool(endpoint) and provider in ("aws", "other")
        addressing = Addressing.PATH if custom else preset.addressing
        if "." in bucket and parts.scheme == "https":
            addressing = Addressing.PATH
    return S3Location(endpoint=found, region=region, addressing=addressing)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOptions:
    """What new objects get: storage class and server-side encryption; and who pays for requests.

    `customer_key`: 32 bytes for SSE-C, which every read needs, too.
    """

    storage_class: str = ""
    encryption: str = ""  # AES256 or aws:kms
    kms_key: str = ""
    customer_key: bytes = field(default=b"", repr=False)
    requester_pays: bool = False

    def every_request(self) -> dict[str, str]:
        """Headers that go with each request about an object or a bucket."""
        return {"x-amz-request-payer": "requester"} if self.requester_pays else {}

    def reading(self) -> dict[str, str]:
        """Headers of HEAD, GET and UploadPart."""
        return self._customer("x-amz-server-side-encryption-customer-")

    def copied(self) -> dict[str, str]:
        """Headers that let the service read the source of a copy."""
        return self._customer("x-amz-copy-source-server-side-encryption-customer-")

    def creating(self) -> dict[str, str]:
        """Headers of PUT, CreateMultipartUpload and CopyObject."""
        headers = self.reading()
        if self.storage_class:
            headers["x-amz-storage-class"] = self.storage_class
        if self.encryption:
            headers["x-amz-server-side-encryption"] = self.encryption
        if self.kms_key:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self.kms_key
        return headers

    @property
    def etag_is_md5(self) -> bool:
        """Whether the ETag of an object sent in one PUT is the MD5 of its content (not with KMS or SSE-C)."""
        return not self.customer_key and not self.encryption.startswith("aws:kms")

    def _customer(self, prefix: str) -> dict[str, str]:
        if not self.customer_key:
            return {}
        from base64 import b64encode
        from hashlib import md5

        digest = md5(self.customer_key, usedforsecurity=False).digest()
        return {
            f"{prefix}algorithm": "AES256",
            f"{prefix}key": b64encode(self.customer_key).decode(),
            f"{prefix}key-md5": b64encode(digest).decode(),
        }
