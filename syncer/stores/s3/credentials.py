"""AWS credentials and Signature Version 4, both by botocore, which is imported only where S3 is used.

Credentials come from the account, or from botocore's chain: AWS_* variables, profiles, SSO, assumed roles,
`credential_process`, containers and instances. A signature never carries the secret key itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from syncer.errors import AuthError, ConfigError

UNSIGNED = "UNSIGNED-PAYLOAD"  # instead of the content's SHA-256, for a body that is read only once


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKeys:
    """One set of credentials, as botocore's signers take it."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class CredentialProvider(Protocol):
    """Credentials that may expire and be renewed by the provider. Safe to share between threads."""

    def current(self) -> AwsKeys:
        """Valid for now. Raises AuthError."""
        ...


class StaticCredentials:
    """AwsKeys of the account itself. The secret is revealed (a command may print it) at the first request."""

    def __init__(
        self, access_key: str, secret_key: Callable[[], str], token: Callable[[], str] | None = None
    ):
        self._access_key, self._secret_key, self._token = access_key, secret_key, token
        self._lock = threading.Lock()
        self._keys: AwsKeys | None = None

    def current(self) -> AwsKeys:
        """Raises what revealing the secret raises."""
        with self._lock:
            if self._keys is None:
                token = self._token() if self._token else None
                self._keys = AwsKeys(access_key=self._access_key, secret_key=self._secret_key(), token=token)
            return self._keys


class CredentialChain:
    """botocore's credential chain; temporary credentials are renewed by botocore shortly before they end."""

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile
        self._lock = threading.Lock()
        self._session: Any = None
        self._credentials: Any = None

    def current(self) -> AwsKeys:
        """Raises AuthError where the chain finds nothing, or what it finds cannot be renewed."""
        import botocore.exceptions

        try:
            with self._lock:
                if self._credentials is None:
                    self._credentials = self._opened().get_credentials()
                if self._credentials is None:
                    raise AuthError(
                        "no S3 credentials found",
                        hint="set access_key and secret_key of the account, AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials",
                    )
                frozen = self._credentials.get_frozen_credentials()
        except botocore.exceptions.BotoCoreError as error:
            # Messages of botocore name profiles and files; those of credential_process may quote its output.
            raise AuthError(
                f"the S3 credentials cannot be loaded ({type(error).__name__})",
                hint="`aws sts get-caller-identity` shows why; `aws sso login` renews an SSO session",
            ) from None
        return AwsKeys(access_key=frozen.access_key, secret_key=frozen.secret_key, token=frozen.token)

    def region(self) -> str:
        """The region of the profile or of AWS_DEFAULT_REGION; "" where there is none."""
        import botocore.exceptions

        try:
            with self._lock:
                return str(self._opened().get_config_variable("region") or "")
        except botocore.exceptions.BotoCoreError:
            return ""  # `current` reports the profile that is missing

    def _opened(self) -> Any:
        if self._session is None:
            _load()
            import botocore.session

            self._session = botocore.session.Session(profile=self._profile)
        return self._session


class Signer:
    """Signs requests for one region; safe to share between threads."""

    def __init__(self, provider: CredentialProvider, region: str) -> None:
        self._provider = provider
        self.region = region

    def sign(self, method: str, url: str, headers: Mapping[str, str], payload: str) -> dict[str, str]:
        """The headers with the signature. `payload`: the body's SHA-256 in hex, or UNSIGNED.

        The URL is signed as it stands: its path and query are percent-encoded already.
        """
        auth = _auth_class()
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method=method, url=url, headers=dict(headers))
        request.context["payload"] = payload
        auth(self._provider.current(), "s3", self.region).add_auth(request)
        return dict(request.headers.items())


@cache
def _auth_class() -> Any:
    """botocore's signer of S3 requests, for a payload whose digest is known already."""
    _load()
    from botocore.auth import S3SigV4Auth

    class Auth(S3SigV4Auth):  # type: ignore[misc] # botocore has no annotations
        def payload(self, request: Any) -> str:
            return str(request.context["payload"])

    return Auth


def _load() -> None:
    """Imports botocore, and keeps its log quiet: at DEBUG it has session tokens and signatures."""
    try:
        import botocore.auth  # noqa: F401
    except ImportError:
        raise ConfigError(
            "S3 accounts need the package botocore", hint="pip install 'syncer-delta[s3]'"
        ) from None
    logging.getLogger("botocore").setLevel(logging.WARNING)
