"""The SmartFile API as a table: every path and method, what it takes, how it may answer.

The routes and the OpenAPI document are both made from it, so neither can say what the other does
not. No handler is known here but by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VERSIONS: Final = ("2", "2.0", "2.1", "3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of the query, a header, or a field of a form. `many`: it may be repeated."""

    name: str
    text: str
    required: bool = False
    many: bool = False
    number: tuple[int, int] | None = None
    choices: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method of one path. `statuses`: besides those that any request may meet (`COMMON`)."""

    method: str
    handler: str  # "room.method", see `routes`
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
    404: "There is nothing of that name.",
    408: "The body came too slowly.",
    409: "What is there does not allow it.",
    413: "The body is too large.",
    429: "Too many failed tries, or too many tasks.",
    503: "It failed now and may work later.",
}
MEANINGS: Final = {
    **COMMON,
    200: "Done.",
    201: "A new file was made.",
    204: "Done.",
    206: "The range that was asked for.",
    304: "Unchanged.",
    403: "This key may not.",
    412: "It is not what the request expects.",
    415: "A directory where a file is meant, or a body of another kind.",
    416: "No such range.",
    507: "There is no room.",
}

_IF_MATCH = Parameter(name="If-Match", text="Only if it has this ETag.", example='"00"')
_IF_NONE_MATCH = Parameter(name="If-None-Match", text='"*": only if there is none.', example="*")
_UNMODIFIED = Parameter(
    name="If-Unmodified-Since", text="An HTTP date.", example="Fri, 01 Jan 2100 00:00:00 GMT"
)
_CONDITIONS = (_IF_MATCH, _IF_NONE_MATCH, _UNMODIFIED)
_RANGE = Parameter(name="Range", text="One range of bytes.", example="bytes=0-")
_FROM = Parameter(name="Range", text="`bytes=N-`: where to append.", required=True, example="bytes=0-")
_INFO_QUERY = (
    Parameter(
        name="children", text="true: with one level of what is below.", choices=("true", "false", "on")
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

TABLE: Final[dict[str, tuple[Call, ...]]] = {
    "ping": (Call(method="GET", handler="account.ping", summary="Is it there?", statuses=(200,)),),
    "whoami": (Call(method="GET", handler="account.whoami", summary="Key and quota.", statuses=(200, 403)),),
    "path/info/{path}": (
        Call(
            method="GET", handler="account.info", summary="Facts about a path, or its children.",
            statuses=(200, 403), query=_INFO_QUERY,
        ),
        Call(
            method="POST", handler="account.annotate", summary="Sets attributes.", statuses=(200, 403, 415),
            form=(_ATTRIBUTES,),
        ),
    ),
    "path/data/{path}": (
        Call(
            method="GET", handler="files.download", summary="The content of a file.",
            statuses=(200, 206, 304, 403, 412, 415, 416), headers=(_RANGE, *_CONDITIONS),
            answer="application/octet-stream",
        ),
        Call(
            method="HEAD", handler="files.download", summary="Size, ETag and date of a file.",
            statuses=(200, 304, 403, 412, 415), headers=_CONDITIONS, answer="application/octet-stream",
        ),
        Call(
            method="POST", handler="files.post", summary="Puts the files of a form into a directory.",
            statuses=(200, 412, *_TREE), headers=_CONDITIONS, file="file",
        ),
        Call(
            method="PUT", handler="files.put", summary="The body becomes the file.",
            statuses=(200, 201, 412, *_TREE), headers=_CONDITIONS, raw=True,
        ),
        Call(
            method="PATCH", handler="files.append", summary="The body follows the first N bytes of the file.",
            statuses=(200, 412, 416, *_TREE), headers=(_FROM, *_CONDITIONS), raw=True,
        ),
        Call(
            method="DELETE", handler="files.delete", summary="The file goes to the trash.",
            statuses=(204, 412, *_TREE), headers=_CONDITIONS,
        ),
    ),
    "path/oper/mkdir": (
        Call(
            method="POST", handler="operations.mkdir", summary="Makes a directory and those above it.",
            statuses=(200, *_TREE), form=(_PATH,),
        ),
    ),
    "path/oper/rename": (
        Call(
            method="POST", handler="operations.rename", summary="Gives a file or directory another path.",
            statuses=(200, *_TREE), form=(_SRC, _DST),
        ),
    ),
    "path/oper/move": (
        Call(
            method="POST", handler="operations.move", summary="Moves into a directory: a task.",
            statuses=(200, *_TREE), form=(_SRCS, _DST),
        ),
    ),
    "path/oper/copy": (
        Call(
            method="POST", handler="operations.copy", summary="Copies into a directory: a task.",
            statuses=(200, *_TREE), form=(_SRCS, _DST),
        ),
    ),
    "path/oper/remove": (
        Call(
            method="POST", handler="operations.remove", summary="Removes with all below it: a task.",
            statuses=(200, *_TREE), form=(_PATHS,),
        ),
    ),
    "path/oper/checksum": (
        Call(
            method="POST", handler="operations.checksum", summary="Checksums of files: a task.",
            statuses=(200, *_TREE), form=(_PATHS, _SUMS),
        ),
    ),
    "path/sync/signature/{path}": (
        Call(
            method="GET", handler="syncing.signature", summary="librsync signature (rollsum, MD4) of a file.",
            statuses=(200, *_TREE), query=_BLOCK, answer="application/librsync-signature",
        ),
    ),
    "path/sync/delta/{path}": (
        Call(
            method="POST", handler="syncing.delta", summary="librsync delta to a file, from what was signed.",
            statuses=(200, *_TREE), file="signature", answer="application/librsync-delta",
        ),
    ),
    "path/sync/patch/{path}": (
        Call(
            method="POST", handler="syncing.patch", summary="Applies a librsync delta to a file.",
            statuses=(200, 412, *_TREE), headers=_CONDITIONS, file="delta",
        ),
    ),
    "task/{task}": (
        Call(method="GET", handler="account.task", summary="How a task stands.", statuses=(200,)),
    ),
}  # fmt: skip
