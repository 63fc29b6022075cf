"""What an answer says about a limit: pure functions of a line and the time, in whole microseconds."""

from dataclasses import replace

from assistant_kit.policies._token_bucket import (
    SECOND,
    UNIT,
    Bucket,
    Learned,
    Line,
    Rates,
    Ticket,
    fitted,
    lowered,
    pause,
)
from assistant_kit.usage import RateLimits


def heard(line: Line, limits: RateLimits, rates: Rates, *, said: int, now: int) -> Line:
    """Return a line that knows what a server said, at the time `said` at the earliest, of its limits.

    What it says is left counts when that is less; what has come in since is added, as an answer may take long. Where
    nothing is left, nobody goes before the reset. The limits themselves hold where none are configured.
    """
    learned = _learned(line.learned, limits, now=now)
    line = fitted(line if learned is line.learned else replace(line, learned=learned), rates, now=now)
    said = min(said, now)
    age = now - said
    line = lowered(
        line,
        requests=None if limits.requests_left is None else limits.requests_left + _came_in(line.requests, age),
        tokens=None if limits.tokens_left is None else limits.tokens_left + _came_in(line.tokens, age),
    )
    return line if limits.wait is None else replace(line, blocked=max(line.blocked, said + micros(limits.wait)))


def refused(line: Line, ticket: Ticket, *, retry_after: float | None, now: int) -> Line:
    """Return a line whose server has refused a call for its rate: nothing is left, and nobody goes for a while.

    That is what the server asks for, or else a pause that doubles until a call succeeds. Calls that were on their way
    when the server first refused one do not make it longer.
    """
    line = lowered(line, requests=0, tokens=0)
    if retry_after is not None:
        return replace(line, blocked=max(line.blocked, now + micros(retry_after)))
    if ticket.at < line.blocked:
        return line
    strikes = line.strikes + 1
    return replace(line, strikes=strikes, blocked=max(line.blocked, now + pause(strikes)))


def succeeded(line: Line, ticket: Ticket) -> Line:
    """Return a line after a success. One that was on its way when the server began to refuse says nothing."""
    return replace(line, strikes=0) if line.strikes and ticket.at >= line.blocked else line


def micros(seconds: float) -> int:
    """Return a time in microseconds, at most a day: no server means more."""
    return int(min(max(seconds, 0.0), 86_400.0) * SECOND)


def _learned(before: Learned, limits: RateLimits, *, now: int) -> Learned:
    """Return what is known of the limits; a limit of nothing is taken as none that was named."""
    if not limits.requests_limit and not limits.tokens_limit:
        return before
    requests, tokens = limits.requests_limit or None, limits.tokens_limit or None
    if (requests, tokens) == (before.requests, before.tokens) and now - before.at < SECOND:
        return before
    return Learned(requests=requests, tokens=tokens, at=now)


def _came_in(bucket: Bucket | None, age: int) -> int:
    return 0 if bucket is None else bucket.limit * age // UNIT
