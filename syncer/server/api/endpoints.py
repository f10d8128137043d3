"""Endpoint table of the SmartFile API: every path and method with its parameters and statuses.

The routes and the OpenAPI document are both made from it, so that they agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VERSIONS: Final = ("2", "2.0", "2.1", "3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter, a header, or a field of a form. `many`: it may be repeated."""

    name: str
    text: str
    required: bool = False
    many: bool = False
    number: tuple[int, int] | None = None
    choices: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSpec:
    """One method of one path. `statuses`: besides those of every request (`COMMON`)."""

    method: str
    handler: str  # "group.method", see `routes`
    summary: str
    statuses: tuple[int, ...]
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    form: tuple[Parameter, ...] = ()
    file: str = ""  # the part of a multipart form that holds a file
    raw: bool = False  # the body is content
    answer: str = "application/json"


COMMON: Final = {
    400: "The request cannot be understood, or names a path that is refused.",
    401: "The key or the password is wrong.",
    404: "There is no such file, directory or task.",
    408: "The body came too slowly.",
    409: "In conflict with what is there.",
    413: "The body is too large.",
    429: "Too many failed logins, or too many tasks.",
    503: "Temporarily unavailable.",
}
MEANINGS: Final = {
    **COMMON,
    200: "Done.",
    201: "A new file was created.",
    204: "Done.",
    206: "The requested range.",
    304: "Not modified.",
    403: "The key has no permission for this.",
    412: "A condition of the request does not hold.",
    415: "A directory where a file is meant, or a body of another kind.",
    416: "No such range.",
    507: "Not enough space.",
}

_IF_MATCH = Parameter(name="If-Match", text="Only if the file has this ETag.", example='"00"')
_IF_NONE_MATCH = Parameter(name="If-None-Match", text='"*": only if there is no such file.', example="*")
_UNMODIFIED = Parameter(
    name="If-Unmodified-Since", text="An HTTP date.", example="Fri, 01 Jan 2100 00:00:00 GMT"
)
_CONDITIONS = (_IF_MATCH, _IF_NONE_MATCH, _UNMODIFIED)
_RANGE = Parameter(name="Range", text="One range of bytes.", example="bytes=0-")
_FROM = Parameter(name="Range", text="`bytes=N-`: where to append.", required=True, example="bytes=0-")
_INFO_QUERY = (
    Parameter(
        name="children", text="true: with the children of a directory.", choices=("true", "false", "on")
    ),
    Parameter(name="limit", text="How many children a page has.", number=(1, 500)),
    Parameter(name="page", text="From 1 on.", number=(1, 1_000_000)),
    Parameter(name="fields", text="Only these fields.", many=True),
)
_BLOCK = (Parameter(name="block_size", text="Bytes of a block.", number=(256, 1 << 20)),)
_PATH = Parameter(name="path", text="A path.", required=True, example="/a.txt")
_PATHS = Parameter(name="path", text="A path.", required=True, many=True, example="/a.txt")
_SRC = Parameter(name="src", text="The old path.", required=True, example="/a.txt")
_SRCS = Parameter(name="src", text="A path.", required=True, many=True, example="/a.txt")
_DST = Parameter(name="dst", text="The new path, or the directory.", required=True, example="/b")
_SUMS = Parameter(
    name="algorithm",
    text="Which checksum.",
    required=True,
    choices=("MD5", "SHA1", "SHA256", "SHA512", "CRC-32"),
)
_ATTRIBUTES = Parameter(name="attributes", text="name=value", many=True, example="checksum=00")
_TREE = (403, 415, 507)

TABLE: Final[dict[str, tuple[MethodSpec, ...]]] = {
    "ping": (
        MethodSpec(method="GET", handler="account.ping", summary="The server answers.", statuses=(200,)),
    ),
    "whoami": (
        MethodSpec(method="GET", handler="account.whoami", summary="Key and quota.", statuses=(200, 403)),
    ),
    "path/info/{path}": (
        MethodSpec(
            method="GET", handler="account.info", summary="Facts about a path, or its children.",
            statuses=(200, 403), query=_INFO_QUERY,
        ),
        MethodSpec(
            method="POST", handler="account.annotate", summary="Sets attributes.", statuses=(200, 403, 415),
            form=(_ATTRIBUTES,),
        ),
    ),
    "path/data/{path}": (
        MethodSpec(
            method="GET", handler="files.download", summary="The content of a file.",
            statuses=(200, 206, 304, 403, 412, 415, 416), headers=(_RANGE, *_CONDITIONS),
            answer="application/octet-stream",
        ),
        MethodSpec(
            method="HEAD", handler="files.download", summary="Size, ETag and date of a file.",
            statuses=(200, 304, 403, 412, 415), headers=_CONDITIONS, answer="application/octet-stream",
        ),
        MethodSpec(
            method="POST", handler="files.post", summary="Puts the files of a form into a directory.",
            statuses=(200, 412, *_TREE), headers=_CONDITIONS, file="file",
        ),
        MethodSpec(
            method="PUT", handler="files.put", summary="The body becomes the file.",
            statuses=(200, 201, 412, *_TREE), headers=_CONDITIONS, raw=True,
        ),
        MethodSpec(
            method="PATCH", handler="files.append", summary="The body follows the first N bytes of the file.",
            statuses=(200, 412, 416, *_TREE), headers=(_FROM, *_CONDITIONS), raw=True,
        ),
        MethodSpec(
            method="DELETE", handler="files.delete", summary="The file goes to the trash.",
            statuses=(204, 412, *_TREE), headers=_CONDITIONS,
        ),
    ),
    "path/oper/mkdir": (
        MethodSpec(
            method="POST", handler="operations.mkdir", summary="Makes a directory and those above it.",
            statuses=(200, *_TREE), form=(_PATH,),
        ),
    ),
    "path/oper/rename": (
        MethodSpec(
            method="POST", handler="operations.rename", summary="Gives a file or directory another path.",
            statuses=(200, *_TREE), form=(_SRC, _DST),
        ),
    ),
    "path/oper/move": (
        MethodSpec(
            method="POST", handler="operations.move", summary="Moves into a directory: a task.",
            statuses=(200, *_TREE), form=(_SRCS, _DST),
        ),
    ),
    "path/oper/copy": (
        MethodSpec(
            method="POST", handler="operations.copy", summary="Copies into a directory: a task.",
            statuses=(200, *_TREE), form=(_SRCS, _DST),
        ),
    ),
    "path/oper/remove": (
        MethodSpec(
            method="POST", handler="operations.remove", summary="Removes with all below it: a task.",
            statuses=(200, *_TREE), form=(_PATHS,),
        ),
    ),
    "path/oper/checksum": (
        MethodSpec(
            method="POST", handler="operations.checksum", summary="Checksums of files: a task.",
            statuses=(200, *_TREE), form=(_PATHS, _SUMS),
        ),
    ),
    "path/sync/signature/{path}": (
        MethodSpec(
            method="GET", handler="deltas.signature", summary="librsync signature (rollsum, MD4) of a file.",
            statuses=(200, *_TREE), query=_BLOCK, answer="application/librsync-signature",
        ),
    ),
    "path/sync/delta/{path}": (
        MethodSpec(
            method="POST", handler="deltas.delta", summary="librsync delta to a file, from what was signed.",
            statuses=(200, *_TREE), file="signature", answer="application/librsync-delta",
        ),
    ),
    "path/sync/patch/{path}": (
        MethodSpec(
            method="POST", handler="deltas.patch", summary="Applies a librsync delta to a file.",
            statuses=(200, 412, *_TREE), headers=_CONDITIONS, file="delta",
        ),
    ),
    "task/{task}": (
        MethodSpec(method="GET", handler="account.task", summary="The state of a task.", statuses=(200,)),
    ),
}  # fmt: skip
