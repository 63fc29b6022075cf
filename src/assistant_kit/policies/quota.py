"""What a user, a tenant or everybody may use in a day: reserved before a call, settled after it."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from os import urandom
from typing import Literal, TypeAlias, get_args

import anyio

from assistant_kit.background import Background
from assistant_kit.errors import AssistantKitError, ConfigurationError, InputError, StoreError
from assistant_kit.policies._claims import Claim
from assistant_kit.policies._reservations import LENGTHS, Window
from assistant_kit.prices import Prices, names_of
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.protocols.policy import Call, CallKind, Condition, Proceed, T
from assistant_kit.protocols.shared_state import Change, SharedState
from assistant_kit.usage import Usage

_log = logging.getLogger("assistant_kit.policies")

Unit: TypeAlias = Literal["requests", "tokens", "nanodollars"]
"""What is counted. A nanodollar is a billionth of a US dollar: 1_000_000_000 of them are one."""

Bearer: TypeAlias = Literal["user", "all"] | Callable[[Call], str | None]
"""Who shares one allowance: each user has one, all have one, or each tenant, whose name a function tells."""

_RELEASE = 5.0
"""Seconds after which a caller does not wait any longer for a place that hangs: the lease ends what is reserved."""

_PAUSES = (0.1, 0.5)
"""Seconds before the second and the third attempt to book what was used."""

_LETTERS = 3
"""Characters of a token, at least: of an answer that broke off, the tokens are estimated so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a quota stands: what is `used`, what is `reserved` by calls in progress, and in how many seconds it resets.

    More may be used than the limit: a call that used more than was reserved for it is booked as it was.
    """

    name: str
    unit: Unit
    limit: int
    used: int
    reserved: int
    resets_in: float

    @property
    def left(self) -> int:
        """What may still be reserved."""
        return max(0, self.limit - self.used - self.reserved)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` of a `unit` in each `window`: of the calendar, in UTC by the shared place's clock, or in seconds.

    `per` says who shares it: "user" gives one to each user (and one to all calls of nobody), "all" gives one to all; a
    function names the tenant of a call, or returns None where the quota does not apply. `models` are the models to
    whose calls it applies, by the name that is asked for; None means all.

    `name` appears in errors and is part of the key: a quota whose name, unit or window changes begins anew.
    """

    name: str
    _: KW_ONLY
    limit: int
    unit: Unit
    window: Window = "day"
    per: Bearer = "user"
    models: Collection[str] | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what cannot be a quota."""
        length: object = self.window
        if self.unit not in get_args(Unit):
            raise ConfigurationError(f"quota {self.name!r}: unit is one of {', '.join(get_args(Unit))}")
        if not self.name or "/" in self.name or self.limit < 0:
            raise ConfigurationError(f"quota {self.name!r}: it needs a name without '/' and a limit of 0 or more")
        if length not in (*LENGTHS, "month") and not (isinstance(length, int) and length > 0):
            raise ConfigurationError(
                f"quota {self.name!r}: a window is 'minute', 'hour', 'day', 'month' or whole seconds, not {length!r}"
            )

    def concerns(self, model: str) -> bool:
        """Tell whether it applies to calls of a model."""
        return self.models is None or any(name in self.models for name in names_of(model))

    def claim(self, call: Call, amount: int) -> Claim | None:
        """Return the claim of a call to an amount; None where its tenant has no such quota."""
        owner, key = "", f"quota/{self.unit}/{self.window}/{self.name}"
        if self.per == "user":
            owner = call.user or ""
        elif self.per != "all":
            tenant = self.per(call)
            if tenant is None:
                return None
            key = f"{key}/{tenant}"
        return Claim(
            quota=self.name,
            unit=self.unit,
            limit=self.limit,
            window=self.window,
            owner=owner,
            key=key,
            amount=amount,
        )

    def standing(self, used: int, reserved: int, resets_in: float) -> Standing:
        """Return how it stands."""
        return Standing(
            name=self.name, unit=self.unit, limit=self.limit, used=used, reserved=reserved, resets_in=resets_in
        )


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What this process has seen of a quota; `unbooked` in its unit."""

    admitted: int = 0
    refused: int = 0
    unbooked: int = 0
    used_up: bool = False


class Quotas:
    """Holds quotas under any concurrency: what a call takes at most is reserved before it, and settled after it.

    A call is admitted when all quotas that apply have room for its worst case: one request, its prompt and the longest
    answer, or what these cost at most with the model that is asked or one of the `fallbacks`. Else nothing is reserved
    and QuotaExceeded raised. After it what was used is booked, by the model that answered; of a call that fails or is
    left nothing is, or what its reader has seen.

    Reservations live in `state`, shared by all workers, for `lease` seconds, and are renewed while the call lives:
    those of a worker that dies come back. A place that cannot be reached refuses calls with its StoreError.
    """

    def __init__(
        self,
        *quotas: Quota,
        state: SharedState,
        prices: Prices | None = None,
        lease: float = 60.0,
        kinds: Collection[CallKind] = ("model",),
        fallbacks: Sequence[str] = (),
    ) -> None:
        """Take quotas of different names; `prices` default to those that come with the library.

        Raises ConfigurationError for names that stand twice, or a fallback whose price is needed and not known.
        """
        self._tallies = {quota.name: _Tally() for quota in quotas}
        if len(self._tallies) < len(quotas) or lease <= 0:
            raise ConfigurationError("Quotas: each quota needs a name of its own, and a lease is more than 0 seconds")
        self._quotas = quotas
        self._state = state
        self._prices = Prices() if prices is None else prices
        self._lease = lease
        self._kinds = frozenset(kinds)
        self._fallbacks = tuple(fallbacks)
        if any(quota.unit == "nanodollars" for quota in quotas):
            for name in self._fallbacks:
                self._prices.worst(name, 0, 0)

    def covering(self, models: Sequence[str]) -> "Quotas":
        """Return quotas like these, whose worst case covers these models, too, where their price is known."""
        more = [name for name in models if self._prices.find(name) is not None]
        return Quotas(
            *self._quotas,
            state=self._state,
            prices=self._prices,
            lease=self._lease,
            kinds=self._kinds,
            fallbacks=tuple(dict.fromkeys((*self._fallbacks, *more))),
        )

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call if all quotas have room for it. Raises QuotaExceeded, ConfigurationError, StoreError."""
        claims = self._claims(call)
        if not claims:
            return await proceed(call)
        name = urandom(8).hex()
        await self._reserve(claims, name)
        used: Sequence[int] | None = None
        try:
            async with Background(partial(self._renew, claims, name)):
                result = await proceed(call)
                used = [self._used(claim, call, result) for claim in claims]
            return result
        finally:
            if used is None:
                used = [self._shown(claim, call) for claim in claims]
            await self._settle(claims, name, used, _PAUSES)

    async def standing(self, *, user: str | None = None) -> Sequence[Standing]:
        """Return how each quota stands for a user. Raises StoreError.

        Of quotas for tenants only those are told whose function knows the tenant by the user alone.
        """
        call = Call(kind="model", name="", user=user)
        standings: list[Standing] = []
        for quota in self._quotas:
            claim = quota.claim(call, 0)
            if claim is not None:
                used, reserved, rest = await self._state.update(claim.owner, claim.key, claim.look())
                standings.append(quota.standing(used, reserved, rest))
        return standings

    async def erase_user(self, user: str) -> None:
        """Forget what a user has used and reserved. Raises InputError without a user, StoreError.

        All values of this user in the shared place go: they are about nothing else.
        """
        if not user:
            raise InputError("erase_user needs a user")
        await self._state.erase(user)

    def explain(self, call: Call) -> str:
        """Return what a call would reserve."""
        parts = [self._explained(quota, call) for quota in self._concerned(call)]
        return f"quota: {'; '.join(parts)}" if parts else ""

    def health(self) -> Mapping[str, Condition]:
        """Return what this process has seen of each quota: a quota of all that refuses, or use that was not booked."""
        return {f"quota {quota.name}": _condition(quota, self._tallies[quota.name]) for quota in self._quotas}

    def _concerned(self, call: Call) -> Sequence[Quota]:
        if call.kind not in self._kinds:
            return ()
        return [quota for quota in self._quotas if quota.concerns(_asked(call))]

    def _claims(self, call: Call) -> Sequence[Claim]:
        claims = (quota.claim(call, self._worst(quota.unit, call)) for quota in self._concerned(call))
        return [claim for claim in claims if claim is not None]

    def _worst(self, unit: str, call: Call, output_tokens: int | None = None) -> int:
        if unit == "requests":
            return 1
        prompt = max(
            1, call.prompt_tokens
        )  # what nobody has counted takes something, and is refused when nothing is left
        output = call.output_tokens if output_tokens is None else output_tokens
        if unit == "tokens":
            return prompt + output
        return max(self._prices.worst(name, prompt, output) for name in self._names(call))

    def _used(self, claim: Claim, call: Call, result: object) -> int:
        """Return what a call has used; where a server did not report it, at least what was reserved."""
        if call.usage is None:
            return claim.amount
        usage = call.usage(result)
        used = self._measured(claim.unit, call, result, usage)
        return used if usage.reported else max(used, claim.amount)

    def _measured(self, unit: str, call: Call, result: object, usage: Usage) -> int:
        if unit == "requests":
            return max(1, usage.requests)
        if unit == "tokens":
            return usage.total_tokens
        if isinstance(result, ModelResponse) and self._prices.find(result.model) is not None:
            return self._prices.cost(result.model, usage)
        return max(self._prices.cost(name, usage) for name in self._names(call))

    def _shown(self, claim: Claim, call: Call) -> int:
        """Return what is booked for a call that failed or was left: nothing, unless its reader has seen something."""
        if not call.progress.started:
            return 0
        written = sum(map(len, call.progress.text)) // _LETTERS + 1
        return self._worst(claim.unit, call, min(written, call.output_tokens))

    def _names(self, call: Call) -> Sequence[str]:
        return (_asked(call), *self._fallbacks)

    async def _reserve(self, claims: Sequence[Claim], name: str) -> None:
        for index, claim in enumerate(claims):
            try:
                refusal = await self._state.update(claim.owner, claim.key, claim.take(name, self._lease))
            except BaseException:  # the change may have been made, although nobody was told
                await self._settle(claims[: index + 1], name, [0] * (index + 1))
                raise
            tally = self._tallies[claim.quota]
            tally.used_up = refusal is not None
            if refusal is not None:
                tally.refused += 1
                await self._settle(claims[:index], name, [0] * index)
                raise refusal
        for claim in claims:
            self._tallies[claim.quota].admitted += 1

    async def _renew(self, claims: Sequence[Claim], name: str) -> None:
        while True:
            await anyio.sleep(self._lease / 3)
            for claim in claims:
                try:
                    with anyio.move_on_after(self._lease / 3):
                        await self._state.update(claim.owner, claim.key, claim.prolong(name, self._lease))
                except StoreError as error:
                    _log.warning("a reservation of quota %r could not be renewed: %s", claim.quota, error)

    async def _settle(
        self, claims: Sequence[Claim], name: str, used: Sequence[int], pauses: Sequence[float] = ()
    ) -> None:
        """Book what was used in place of what is reserved. Raises no error: what is reserved ends with its lease."""
        # In a task of its own: a shield does not hold off what `Task.cancel()` of asyncio does.
        async with anyio.create_task_group() as group:
            group.start_soon(self._book_all, claims, name, used, pauses)

    async def _book_all(self, claims: Sequence[Claim], name: str, used: Sequence[int], pauses: Sequence[float]) -> None:
        for claim, amount in zip(claims, used, strict=True):
            booked = False
            deadline = anyio.current_time() + _RELEASE / len(claims)
            with anyio.CancelScope(shield=True, deadline=deadline):
                booked = await self._booked(claim, claim.book(name, amount), pauses)
            if not booked:
                self._tallies[claim.quota].unbooked += amount
                _log.warning("quota %r: %d %s could not be booked", claim.quota, amount, claim.unit)

    async def _booked(self, claim: Claim, change: Change[None], pauses: Sequence[float]) -> bool:
        for pause in (0.0, *pauses):
            if pause:
                await anyio.sleep(pause)
            try:
                await self._state.update(claim.owner, claim.key, change)
            except AssistantKitError as error:
                _log.info("quota %r cannot be reached: %s", claim.quota, error)
            else:
                return True
        return False

    def _explained(self, quota: Quota, call: Call) -> str:
        try:
            amount = str(self._worst(quota.unit, call))
        except ConfigurationError:
            amount = "an unknown number"
        every = f"{quota.window} s" if isinstance(quota.window, int) else quota.window
        return f"{quota.name}: up to {amount} of {quota.limit} {quota.unit} per {every}"


def _asked(call: Call) -> str:
    return call.name if call.model is None else call.model.name


def _condition(quota: Quota, tally: _Tally) -> Condition:
    used_up = quota.per == "all" and tally.used_up
    state = "not booked" if tally.unbooked else "used up" if used_up else "ok"
    data = {"limit": quota.limit, "admitted": tally.admitted, "refused": tally.refused, "unbooked": tally.unbooked}
    return Condition(ok=state == "ok", state=state, data={**data, "unit": quota.unit})
