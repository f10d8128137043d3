"""The OpenAPI 3.1 document of the SmartFile API, made from the endpoint table.

It needs a key like everything else: a client without one learns nothing about the server.
"""

from __future__ import annotations

from typing import Any

from syncer import __version__
from syncer.server.api.endpoints import (
    COMMON,
    MEANINGS,
    TABLE,
    VERSIONS,
    MethodSpec,
    Parameter,
)

Document = dict[str, Any]


def document() -> Document:
    """The whole document."""
    paths: Document = {}
    for path, methods in TABLE.items():
        parameters = [_parameter("version", "path", {"type": "string", "enum": list(VERSIONS)})]
        if path.endswith("{path}"):
            parameter = _parameter("path", "path", {"type": "string", "minLength": 1})
            text = "Percent-encoded UTF-8; slashes stay."
            parameters.append({**parameter, "description": text, "example": "a.txt"})
        if path.endswith("{task}"):
            parameters.append(_parameter("task", "path", {"type": "string", "minLength": 1}))
        operations = {method.method.lower(): _operation(path, method) for method in methods}
        paths[f"/api/{{version}}/{path}"] = {"parameters": parameters, **operations}
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


def _parameter(name: str, location: str, schema: Document) -> Document:
    return {"name": name, "in": location, "required": location == "path", "schema": schema}


def _operation(path: str, call: MethodSpec) -> Document:
    operation: Document = {
        "operationId": f"{call.method.lower()} {path}",
        "summary": call.summary,
        "parameters": [_described(p, "query") for p in call.query]
        + [_described(p, "header") for p in call.headers],
        "responses": {str(status): _response(status, call) for status in sorted({*COMMON, *call.statuses})},
    }
    if call.form or call.file or call.raw:
        operation["requestBody"] = {"required": True, "content": _body(call)}
    return operation


def _described(parameter: Parameter, location: str) -> Document:
    described = {
        **_parameter(parameter.name, location, _schema(parameter)),
        "required": parameter.required,
        "description": parameter.text,
    }
    return described | ({"example": parameter.example} if parameter.example else {})


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


def _body(call: MethodSpec) -> Document:
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


def _response(status: int, call: MethodSpec) -> Document:
    response: Document = {"description": MEANINGS[status]}
    if status >= 400 and call.method != "HEAD":
        detail = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
        response["content"] = {"application/json": {"schema": detail}}
    elif status in (200, 201, 206) and call.method != "HEAD":
        response["content"] = {call.answer: {}}
    return response
