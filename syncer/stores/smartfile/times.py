"""Times of SmartFile: local time of Indiana without a zone, in whole seconds.

One hour a year is shown twice, so a shown time means a span; callers take the end that is safe for them.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST = 1 << 63  # nanoseconds: what a database and every system call can take
_FORM = "%Y-%m-%d %H:%M:%S"  # of the attribute `modified`: kissync's convention, in UTC


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last moment that a shown time may mean, in ns since 1970."""

    earliest_ns: int
    latest_ns: int


@cache
def _zone() -> ZoneInfo:
    return ZoneInfo("America/Indiana/Indianapolis")


def shown(text: str) -> Span:
    """What a `time` of the API means. One that names its zone means just one moment. Raises ValueError."""
    local = datetime.fromisoformat(text)
    if local.tzinfo is not None:
        moment = _ns(local)
        return Span(moment, moment)
    both = [_ns(local.replace(tzinfo=_zone(), fold=fold)) for fold in (0, 1)]
    return Span(min(both), max(both))


def from_modified(text: str) -> int | None:
    """The attribute `modified` in ns since 1970; None for what is no time."""
    try:
        return _ns(datetime.strptime(text, _FORM).replace(tzinfo=UTC))
    except ValueError:
        return None


def to_modified(moment_ns: int) -> str | None:
    """The attribute for a moment, rounded down; None beyond the years that it can say."""
    if not -_FARTHEST <= moment_ns < _FARTHEST:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=moment_ns // SECOND)
    except OverflowError:
        return None
    return moment.replace(tzinfo=None).isoformat(" ")


def _ns(moment: datetime) -> int:
    since = moment.astimezone(UTC) - _EPOCH
    found = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000
    if not -_FARTHEST <= found < _FARTHEST:
        raise ValueError("a time that no file can have")
    return found
