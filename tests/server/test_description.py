"""The OpenAPI document is true: what is drawn from it, or against it, is answered as documented."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator

import pytest
import requests
from hypothesis import HealthCheck, Phase, settings

from syncer.server.api.endpoints import MEANINGS, TABLE
from syncer.server.api.openapi import document
from tests.server.conftest import Serving, serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own libraries' deprecations
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 15  # for each operation, valid ones and others

schema = schemathesis.openapi.from_dict(document())
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("described")
    (home / "folder").mkdir()
    (home / "folder/a.txt").write_bytes(b"content")
    with serving(home / "folder", state=home / "state") as found:
        yield found


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_a_documented_one(case: schemathesis.Case, server: Serving) -> None:
    login = base64.b64encode(f"{server.key}:{server.password}".encode()).decode()
    case.headers = {**(case.headers or {}), "Authorization": f"Basic {login}"}
    (server.folder / "a.txt").write_bytes(b"content")
    try:
        response = case.call(base_url=server.url.rstrip("/"), timeout=20)
    except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL):
        return  # what the library itself would not send
    case.validate_response(response, checks=CHECKS)
    assert not [line for line in server.log if "unexpected" in line]


def test_the_document_has_every_call_and_explains_every_status(server: Serving) -> None:
    served = server.get("openapi.json").json()
    assert served == json.loads(json.dumps(document()))
    for path, calls in TABLE.items():
        operations = served["paths"][f"/api/{{version}}/{path}"]
        for call in calls:
            statuses = operations[call.method.lower()]["responses"]
            assert {str(status) for status in call.statuses} <= set(statuses)
            assert all(statuses[status]["description"] == MEANINGS[int(status)] for status in statuses)
