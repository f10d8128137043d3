"""The OpenAPI 3.1 document of the SmartFile API, made from its table.

Served behind the keys like everything else: who has none learns nothing but that there are keys.
"""

from __future__ import annotations

from typing import Any

from syncer import __version__
from syncer.server.api.endpoints import (
    COMMON,
    MEANINGS,
    TABLE,
    VERSIONS,
    Call,
    Parameter,
)

Document = dict[str, Any]


def document() -> Document:
    """The whole."""
    paths: Document = {}
    for path, calls in TABLE.items():
        operations = {call.method.lower(): _operation(path, call) for call in calls}
        paths[f"/api/{{version}}/{path}"] = {"parameters": _path_parameters(path), **operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "syncer serve",
            "version": __version__,
            "description": "The SmartFile API as far as a sync client uses it.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "basic"}}},
        "security": [{"key": []}],
    }


def _path_parameters(path: str) -> list[Document]:
    found = [_parameter("version", "path", {"type": "string", "enum": list(VERSIONS)})]
    if path.endswith("{path}"):
        text = "Percent-encoded UTF-8; slashes stay."
        schema = {"type": "string", "minLength": 1}
        found.append({**_parameter("path", "path", schema), "description": text, "example": "a.txt"})
    if path.endswith("{task}"):
        found.append(_parameter("task", "path", {"type": "string", "minLength": 1}))
    return found


def _parameter(name: str, place: str, schema: Document) -> Document:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _operation(path: str, call: Call) -> Document:
    made: Document = {
        "operationId": f"{call.method.lower()} {path}",
        "summary": call.summary,
        "parameters": [_described(p, "query") for p in call.query]
        + [_described(p, "header") for p in call.headers],
        "responses": {str(status): _response(status, call) for status in sorted({*COMMON, *call.statuses})},
    }
    if call.form or call.file or call.raw:
        made["requestBody"] = {"required": True, "content": _body(call)}
    return made


def _described(parameter: Parameter, place: str) -> Document:
    found = {
        **_parameter(parameter.name, place, _schema(parameter)),
        "required": parameter.required,
        "description": parameter.text,
    }
    return found | ({"example": parameter.example} if parameter.example else {})


def _schema(parameter: Parameter) -> Document:
    schema: Document = {"type": "string"}
    if parameter.number is not None:
        low, high = parameter.number
        schema = {"type": "integer", "minimum": low, "maximum": high}
    elif parameter.choices:
        schema["enum"] = list(parameter.choices)
    elif parameter.required:
        schema["minLength"] = 1
    return {"type": "array", "items": schema, "minItems": 1} if parameter.many else schema


def _body(call: Call) -> Document:
    if call.raw:
        return {"application/octet-stream": {"schema": {}}}
    if call.file:
        schema = {
            "type": "object",
            "properties": {call.file: {"type": "string", "contentMediaType": "application/octet-stream"}},
            "required": [call.file],
        }
        return {"multipart/form-data": {"schema": schema}}
    schema = {
        "type": "object",
        "properties": {p.name: _schema(p) for p in call.form},
        "required": [p.name for p in call.form if p.required],
    }
    return {"application/x-www-form-urlencoded": {"schema": schema}}


def _response(status: int, call: Call) -> Document:
    found: Document = {"description": MEANINGS[status]}
    if status >= 400 and call.method != "HEAD":
        detail = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
        found["content"] = {"application/json": {"schema": detail}}
    elif status in (200, 201, 206) and call.method != "HEAD":
        found["content"] = {call.answer: {}}
    return found
