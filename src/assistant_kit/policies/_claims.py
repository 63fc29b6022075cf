"""What a call takes of one quota: the changes of its value, as pure functions of the value and the place's time."""

from dataclasses import dataclass, replace
from typing import TypeVar

from assistant_kit.errors import QuotaExceeded
from assistant_kit.policies._reservations import (
    Book,
    Window,
    closed,
    opened,
    renew,
    reserve,
    settle,
    state_of,
    window,
)
from assistant_kit.protocols.shared_state import Change, Changed

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What a change has made of how a quota stands: its state `before` and `after`, and what is `used` now.

    `refusal` is why nothing was reserved.
    """

    before: str
    after: str
    used: int
    refusal: QuotaExceeded | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a call takes at most, `amount` in `unit`, of the quota `quota`, whose value stands under owner and key.

    `bearer` is the user or the tenant that has it; `shared` tells whether all share it.
    """

    quota: str
    unit: str
    limit: int
    window: Window
    owner: str
    key: str
    amount: int
    bearer: str = ""
    shared: bool = False

    def take(self, name: str, lease: float) -> Change[Shift]:
        """Return the change that reserves the amount under a name."""

        def change(value: bytes | None, now: float) -> Changed[Shift]:
            book = opened(value, self.window, now)
            after = reserve(book, name, self.amount, limit=self.limit, now=now, lease=lease)
            if after is None:
                refused = replace(self._shift(book, book), refusal=self._refusal(book, now))
                return self._changed(value, book, book, now, refused)
            return self._changed(value, book, after, now, self._shift(book, after))

        return change

    def prolong(self, name: str, lease: float) -> Change[None]:
        """Return the change that lets a reservation live on."""

        def change(value: bytes | None, now: float) -> Changed[None]:
            book = opened(value, self.window, now)
            return self._changed(value, book, renew(book, name, now=now, lease=lease), now, None)

        return change

    def book(self, name: str, used: int) -> Change[Shift]:
        """Return the change that books what was used in place of a reservation."""

        def change(value: bytes | None, now: float) -> Changed[Shift]:
            book = opened(value, self.window, now)
            after = settle(book, name, used)
            return self._changed(value, book, after, now, self._shift(book, after))

        return change

    def look(self) -> Change[tuple[int, int, float]]:
        """Return the change that changes nothing and tells what is used and reserved, and in how long it resets."""

        def change(value: bytes | None, now: float) -> Changed[tuple[int, int, float]]:
            book = opened(value, self.window, now)
            return self._changed(value, book, book, now, (book.used, book.reserved(now), self._rest(now)))

        return change

    def _shift(self, before: Book, after: Book) -> Shift:
        was, now = state_of(before.used, self.limit), state_of(after.used, self.limit)
        return Shift(before=was, after=now, used=after.used)

    def _refusal(self, book: Book, now: float) -> QuotaExceeded:
        left = book.left(self.limit, now)
        return QuotaExceeded(self.quota, unit=self.unit, needed=self.amount, left=left, retry_after=self._rest(now))

    def _rest(self, now: float) -> float:
        return window(self.window, now)[1] - now

    def _changed(self, value: bytes | None, before: Book, after: Book, now: float, result: T) -> Changed[T]:
        """Return a change; where nothing changes, the value stays what it was, and none where there is none."""
        return Changed(value=value if after is before else closed(after), result=result, keep=self._rest(now))
