"""Who may go when, under limits of so many requests and tokens a minute: pure functions of a value and the time.

Times are whole microseconds, amounts whole `UNIT`s: a limit of one a minute fills in one unit a microsecond, so nothing
is ever rounded. Both limits are charged at the time when a call really goes, whichever of them made it wait. Who has
to wait stands in the line, and whoever comes later waits until all before have what they need. Nobody in the line has a
fixed time: what is given back lets them go sooner.

What is given back is what the bucket would hold now had it never been taken. That may be less than was taken: what a
bucket cannot hold, because it was nearly full in the meantime, runs over. Without this rule a call that reserves much,
uses little and takes long would let twice the limit through.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import takewhile

SECOND = 1_000_000
UNIT = 60 * SECOND
"""One request, or one token."""

LEARNED_FOR = 600 * SECOND
"""How long a limit that a server has named is believed without news."""

LEASE = 5 * SECOND
"""For how long somebody stays in the line without asking again: a worker that has died holds nobody up for longer."""

_KEPT = 32
"""Peaks that a bucket remembers. With more, two near ones become one, and what is given back may be a little less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What is allowed a minute (None: not limited), and for how many microseconds of it a bucket has room."""

    requests: int | None = None
    tokens: int | None = None
    burst: int = UNIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a server has said of its limits a minute, and when."""

    requests: int | None = None
    tokens: int | None = None
    at: int = 0


_NOTHING = Learned()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What is left of one limit. `level` is below zero while a debt is paid off.

    `peaks` tell how high the level has been: `(number, level)`, for the call with that number and those after it, up
    to the next peak. Numbers rise and levels fall.
    """

    limit: int
    room: int
    level: int
    peaks: tuple[tuple[int, int], ...] = ()

    def filled(self, micros: int) -> "Bucket":
        """Return it after a time."""
        level = min(self.room, self.level + self.limit * micros)
        return self if level == self.level else self._with(level, self.peaks)

    def missing(self, units: int) -> int:
        """Return the microseconds until so much may be taken. More than there is room for may go when it is full."""
        return max(0, -((self.level - min(units, self.room)) // self.limit))

    def spent(self, units: int, *, number: int) -> "Bucket":
        """Return it after the call with this number has taken so much."""
        if not units:
            return self
        peaks = self.peaks
        while peaks and peaks[-1][1] <= self.level:
            peaks = peaks[:-1]
        peaks = (*peaks, (number, self.level))
        return self._with(self.level - units, peaks if len(peaks) <= _KEPT else _fewer(peaks))

    def given_back(self, units: int, *, number: int) -> "Bucket":
        """Return it as if the call with this number had taken so much less."""
        first = bisect_right(self.peaks, number, key=_number_of)
        earlier, later = self.peaks[:first], self.peaks[first:]
        highest = max(self.level, later[0][1]) if later else self.level
        back = max(0, min(units, self.room - highest))
        later = tuple((of, peak + back) for of, peak in later)
        while earlier and later and earlier[-1][1] <= later[0][1]:
            earlier = earlier[:-1]
        return self._with(self.level + back, earlier + later)

    def settled(self, *, reserved: int, actual: int, number: int, after: int) -> "Bucket":
        """Return it with what a call has used in the place of what it had reserved; `after` is the next number."""
        if actual < reserved:
            return self.given_back(reserved - actual, number=number)
        return self if actual == reserved else self.spent(actual - reserved, number=after)

    def _with(self, level: int, peaks: tuple[tuple[int, int], ...]) -> "Bucket":
        # A third of what `replace` costs, and this is done several times a call.
        return Bucket(limit=self.limit, room=self.room, level=level, peaks=peaks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Somebody who waits, and the time until which this is believed."""

    who: str
    tokens: int
    weight: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The state of one limited thing. `front` is the time for which the levels hold.

    `count` numbers the calls, and `last` is when the last one went. Nobody goes before `blocked`. `strikes` counts the
    refusals since the last success that the server gave no time for.
    """

    born: int
    front: int
    count: int = 0
    last: int = 0
    blocked: int = 0
    strikes: int = 0
    learned: Learned = field(default_factory=Learned)
    requests: Bucket | None = None
    tokens: Bucket | None = None
    waiting: tuple[Waiting, ...] = ()

    def at_levels(
        self, requests: Bucket | None, tokens: Bucket | None, *, front: int, count: int | None = None
    ) -> "Line":
        """Return it with other levels, for the time `front`; with a `count`, the last call went then."""
        # A third of what `replace` costs, and this is done several times a call.
        return Line(
            born=self.born,
            front=front,
            count=self.count if count is None else count,
            last=self.last if count is None else front,
            blocked=self.blocked,
            strikes=self.strikes,
            learned=self.learned,
            requests=requests,
            tokens=tokens,
            waiting=self.waiting,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a call has reserved: it goes at `at`. `weight` is how many times over everything was charged."""

    born: int
    number: int
    at: int
    tokens: int
    weight: int = 1


def fitted(line: Line | None, rates: Rates, *, now: int) -> Line:
    """Return a line by what is allowed now: by configuration, or else by what the server has said lately."""
    if line is None:
        line = Line(born=now, front=now)
    learned = line.learned if now - line.learned.at < LEARNED_FOR else _NOTHING
    requests = learned.requests if rates.requests is None else rates.requests
    tokens = learned.tokens if rates.tokens is None else rates.tokens
    of_requests = _resized(line.requests, requests, burst=rates.burst, after=line.count + 1)
    of_tokens = _resized(line.tokens, tokens, burst=rates.burst, after=line.count + 1)
    if of_requests is not line.requests or of_tokens is not line.tokens or learned != line.learned:
        line = replace(line, learned=learned, requests=of_requests, tokens=of_tokens)
    return _advanced(line, now)


def ask(line: Line, who: str, *, tokens: int, now: int, weight: int = 1) -> tuple[Line, Ticket | int]:
    """Let somebody go who needs up to so many tokens, or keep their place in the line.

    Return the ticket, or else the microseconds that it takes at most if nobody gives anything back. Somebody goes when
    there is enough for them and for all before them, whether those ask in this moment or not.
    """
    mine = Waiting(who=who, tokens=tokens, weight=weight, until=now + LEASE)
    waiting = tuple(mine if one.who == who else one for one in line.waiting if one.until > now or one.who == who)
    before = tuple(takewhile(lambda one: one.who != who, waiting))
    behind = line
    for one in before:
        behind, _ = reserve(behind, tokens=one.tokens, now=now, weight=one.weight)
    taken, ticket = reserve(behind, tokens=tokens, now=now, weight=weight)
    if ticket.at > now:
        return replace(line, waiting=(*waiting, mine) if len(before) == len(waiting) else waiting), ticket.at - now
    if not waiting:
        return taken, ticket
    if before:
        taken, ticket = reserve(line, tokens=tokens, now=now, weight=weight)
    return replace(taken, waiting=tuple(one for one in waiting if one.who != who)), ticket


def leave(line: Line, who: str) -> Line:
    """Take somebody out of the line."""
    return replace(line, waiting=tuple(one for one in line.waiting if one.who != who))


def reserve(line: Line, *, tokens: int, now: int, weight: int = 1) -> tuple[Line, Ticket]:
    """Take what a call needs that takes up to so many tokens, at the first moment when all of it is there."""
    number, requests, of_tokens = line.count + 1, line.requests, line.tokens
    at = max(now, line.front, line.last + spacing(line.strikes), line.blocked)
    wait = 0
    if requests is not None:
        wait = requests.filled(at - line.front).missing(weight * UNIT)
    if of_tokens is not None:
        wait = max(wait, of_tokens.filled(at - line.front).missing(tokens * weight * UNIT))
    at += wait
    if requests is not None:
        requests = requests.filled(at - line.front).spent(weight * UNIT, number=number)
    if of_tokens is not None:
        of_tokens = of_tokens.filled(at - line.front).spent(tokens * weight * UNIT, number=number)
    ticket = Ticket(born=line.born, number=number, at=at, tokens=tokens, weight=weight)
    return line.at_levels(requests, of_tokens, front=at, count=number), ticket


def settle(line: Line, ticket: Ticket, *, requests: int, tokens: int, now: int) -> Line:
    """Charge what a call has used, instead of what it had reserved. One from before the line was made is forgotten."""
    if ticket.born != line.born or (line.requests is None and line.tokens is None):
        return line
    line = _advanced(line, now)
    unit, number, after = ticket.weight * UNIT, ticket.number, line.count + 1
    of_requests, of_tokens = line.requests, line.tokens
    if of_requests is not None:
        of_requests = of_requests.settled(reserved=unit, actual=requests * unit, number=number, after=after)
    if of_tokens is not None:
        reserved = ticket.tokens * unit
        of_tokens = of_tokens.settled(reserved=reserved, actual=tokens * unit, number=number, after=after)
    return line.at_levels(of_requests, of_tokens, front=line.front)


def cancel(line: Line, ticket: Ticket, *, now: int) -> Line:
    """Give back all that was reserved for a call that was not made."""
    return settle(line, ticket, requests=0, tokens=0, now=now)


def wait_behind(line: Line, *, calls: int, taken: int, tokens: int, now: int, weight: int = 1) -> int:
    """Return the microseconds that a call waits behind others that take so many tokens together, at most."""
    line = _advanced(line, now)
    line = _spent(line, requests=calls * weight * UNIT, tokens=taken * weight * UNIT, number=line.count + 1)
    return reserve(line, tokens=tokens, now=now, weight=weight)[1].at - now


def lowered(line: Line, *, requests: int | None = None, tokens: int | None = None) -> Line:
    """Return a line with no more left than this many requests and tokens."""
    return _spent(
        line,
        requests=0 if requests is None or line.requests is None else max(0, line.requests.level - requests * UNIT),
        tokens=0 if tokens is None or line.tokens is None else max(0, line.tokens.level - tokens * UNIT),
        number=line.count + 1,
    )


def charged_with(line: Line, other: Line, *, share: int) -> Line:
    """Return a line that also misses a share of what is missing from another."""
    return _spent(
        line,
        requests=_empty(other.requests) // share,
        tokens=_empty(other.tokens) // share,
        number=line.count + 1,
    )


def apart(line: Line, *, now: int) -> Line:
    """Return a line that goes on from here for itself: tickets of the one are not settled in the other."""
    return replace(line, waiting=(), born=~now)  # below zero, so that no other line was born then


def spacing(strikes: int) -> int:
    """Return how far apart calls go after so many refusals without a success: a tenth of the last pause."""
    return pause(strikes) // 10 if strikes else 0


def pause(strikes: int) -> int:
    """Return the microseconds to wait after so many refusals in a row: 1, 2, 4, … up to 60 seconds."""
    return min(60, 2 ** min(strikes - 1, 6)) * SECOND


def time_to_full(line: Line) -> int:
    """Return the microseconds from the front until all is whole again."""
    buckets = (line.requests, line.tokens)
    return max(bucket.missing(bucket.room) if bucket is not None else 0 for bucket in buckets)


def _advanced(line: Line, now: int) -> Line:
    passed = now - line.front
    if passed <= 0 or (line.requests is None and line.tokens is None):
        return line
    requests = None if line.requests is None else line.requests.filled(passed)
    tokens = None if line.tokens is None else line.tokens.filled(passed)
    return line.at_levels(requests, tokens, front=now)


def _spent(line: Line, *, requests: int, tokens: int, number: int) -> Line:
    if not requests and not tokens:
        return line
    return replace(
        line,
        requests=None if line.requests is None else line.requests.spent(requests, number=number),
        tokens=None if line.tokens is None else line.tokens.spent(tokens, number=number),
    )


def _resized(bucket: Bucket | None, limit: int | None, *, burst: int, after: int) -> Bucket | None:
    if limit is None:
        return None
    room = limit * burst
    if bucket is None:
        return Bucket(limit=limit, room=room, level=room, peaks=((after, room),))
    if bucket.limit == limit and bucket.room == room:
        return bucket
    # What calls have taken before cannot be compared with the new room: none of it is given back.
    return Bucket(limit=limit, room=room, level=min(bucket.level, room), peaks=((after, room),))


def _empty(bucket: Bucket | None) -> int:
    return 0 if bucket is None else bucket.room - bucket.level


def _fewer(peaks: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Let the two nearest levels be one, the higher: too little is given back then, never too much."""
    nearest = min(range(len(peaks) - 1), key=lambda at: peaks[at][1] - peaks[at + 1][1])
    return (*peaks[:nearest], (peaks[nearest + 1][0], peaks[nearest][1]), *peaks[nearest + 2 :])


def _number_of(peak: tuple[int, int]) -> int:
    return peak[0]
