"""Parse and format sizes, durations and delete limits, and small parts of messages.

The parsers raise ValueError with a message that says what would be right; the config reader and the command
line add the key or the option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from syncer.engine.model import MaxDelete


def quoted(value: object) -> str:
    """A value as it is written in the config file."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def near(word: object, known: Iterable[str]) -> str:
    """` (did you mean "x"?)` with the known word that is most similar; "" if none is."""
    import difflib

    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)(?:i?[bB])?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in (*_SECONDS, "ms")))


def parse_size(value: object) -> int:
    """Bytes from `4M`, `500k`, `1.5G` or a number; K, M, G and T count in 1024s. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise ValueError(f'{quoted(value)} is not a size; write for example "500k", "4M" or 1048576')
        size = int(float(found[1]) * 1024 ** _POWERS[found[2].lower()])
    if size < 1:
        raise ValueError("must be at least one byte; leave the key out for no limit")
    return size


def parse_duration(value: object) -> float:
    """Seconds from `30s`, `5m`, `1h30m`, `2d`, `0.2s`, `200ms` or a number. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found or not found[0]:
            raise ValueError(f'{quoted(value)} is not a duration; write for example "30s", "5m" or "1h30m"')
        *wholes, thousandths = (float(number or 0) for number in found.groups())
        seconds = (
            sum(n * unit for n, unit in zip(wholes, _SECONDS.values(), strict=True)) + thousandths / 1000
        )
    if not 0 < seconds < 1e9:
        raise ValueError("a duration must be longer than nothing and shorter than 30 years")
    return seconds


def parse_duration_or_none(value: object) -> float:
    """Seconds of a duration, or 0 for `0` and `0s`. Raises ValueError."""
    off = value in (0, "0", "0s") and not isinstance(value, bool)
    return 0.0 if off else parse_duration(value)


def parse_max_delete(value: object) -> MaxDelete:
    """A share such as `50%`, or a count. Raises ValueError."""
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit():
        return MaxDelete(share=None, count=int(text))
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    if not found or float(found[1]) > 100:
        raise ValueError(f'{quoted(value)} is neither a share nor a count; write for example "50%" or 100')
    return MaxDelete(share=float(found[1]) / 100)


def show_size(size: float) -> str:
    """`1.2 MB` (powers of 1000)."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} PB"


def show_duration(seconds: float) -> str:
    """`1h30m` from seconds, in the notation that `parse_duration` reads."""
    left, text = round(seconds, 3), ""
    for letter, unit in _SECONDS.items():
        count, left = divmod(left, unit) if unit > 1 else (left, 0.0)
        text += f"{count:.12g}{letter}" if count else ""
    return text or f"{seconds:g}s"


def show_max_delete(limit: MaxDelete) -> str | int:
    """The limit as it is written in the config file."""
    if limit.count is not None:
        return limit.count
    return f"{100 * (limit.share or 0.0):g}%"
