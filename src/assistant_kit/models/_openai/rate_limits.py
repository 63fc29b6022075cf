"""What a server says of its rate limits in the headers of an answer.

Source: OpenAI, "Rate limits", section "Rate limits in headers"; compatible servers send the same names.
"""

import re
from collections.abc import Iterable

from assistant_kit.usage import RateLimits

_PREFIX = b"x-ratelimit-"
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


def rate_limits(headers: Iterable[tuple[bytes, bytes]]) -> RateLimits | None:
    """Return what the headers of an answer say of rate limits; None when they say nothing that can be read."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.lower()
        if name.startswith(_PREFIX):
            found[name[len(_PREFIX) :].decode("ascii", "replace")] = value.decode("ascii", "replace").strip()
    if not found:
        return None
    limits = RateLimits(
        requests_limit=_count(found.get("limit-requests")),
        requests_left=_count(found.get("remaining-requests")),
        requests_reset=duration(found.get("reset-requests")),
        tokens_limit=_count(found.get("limit-tokens")),
        tokens_left=_count(found.get("remaining-tokens")),
        tokens_reset=duration(found.get("reset-tokens")),
    )
    return None if limits == RateLimits() else limits


def duration(text: str | None) -> float | None:
    """Return the seconds of a time such as `1s`, `6m0s`, `17ms`, `1h2m3.5s`, or a plain number of seconds."""
    if not text:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not match[0]:
        return None
    return sum(float(part) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True) if part)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None
