"""What the hosted service is known to do in more than one way, or is only supposed to do: one switch each.

The defaults follow the notes on the protocol. All may be changed while the double runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True, kw_only=True)
class Options:
    """Switches. "Unconfirmed" marks what nobody has seen the real service do."""

    # credentials
    refused_status: int = 403  # wrong credentials; 401 is unconfirmed

    # listings
    per_page: int = 100
    largest_limit: int = 500  # above it the service timed out, or answered as below
    large_limit_status: int = 503  # or 403
    case_blind: bool = False  # unconfirmed; its successor is. To be set before there are files

    # uploads
    upload_status: int = 200  # or 201
    upload_as_list: bool = False  # the README of the official client shows a list of one object
    keep_partial: bool = False  # an upload that is broken off leaves what came of it
    settle: float = (
        0.0  # seconds (of the double's clock) after an upload in which POST path/info finds no file
    )
    attributes_survive: frozenset[str] = frozenset(
        {"overwrite", "rename", "move", "copy", "patch"}
    )  # unconfirmed

    # operations
    rename_onto: Literal["refuse", "replace"] = "refuse"  # unconfirmed
    rename_onto_status: int = 409  # unconfirmed; or 400
    missing_status: int = 400  # remove, move, copy of a missing path; or 404

    # tasks
    task_states: tuple[str, ...] = ("PENDING", "PROGRESS")  # what the polls before the last one see
    task_layout: Literal["nested", "flat"] = "nested"  # flat: the oldest README's `status` at the top
    task_effect: Literal["start", "end"] = "start"  # end: files change when the last poll is answered

    # space
    disk_limit: int = 10 * 2**30  # bytes
    quota_status: int = 402  # unconfirmed; or 400
    quota_as_text: bool = True  # numbers in whoami were seen as numeric strings, and as numbers

    # sync
    block_size: int = 2048
    strong_length: int = 8
    magics: frozenset[bytes] = field(
        default_factory=lambda: frozenset({b"rs\x016"})
    )  # librsync 0.9.7: MD4 only
