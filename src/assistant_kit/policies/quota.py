"""What a user, a tenant or everybody may use in a day: reserved before a call, settled after it."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from os import urandom
from typing import Literal, TypeAlias, get_args

import anyio

from assistant_kit.background import Background
from assistant_kit.errors import AssistantKitError, ConfigurationError, InputError, StoreError
from assistant_kit.policies._claims import Claim, Shift
from assistant_kit.policies._lost_attempts import LostAttempts, tokens_of
from assistant_kit.policies._quota_export import told
from assistant_kit.policies._quota_health import Tallies, Tally
from assistant_kit.policies._reservations import LENGTHS, Window
from assistant_kit.policies._state import GivenState
from assistant_kit.prices import Prices, names_of
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.protocols.policy import Call, CallKind, Condition, Hear, Proceed, T
from assistant_kit.protocols.shared_state import Change, SharedState
from assistant_kit.protocols.user_data import Kept, UserData
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
        owner = bearer = ""
        key = f"quota/{self.unit}/{self.window}/{self.name}"
        if self.per == "user":
            owner = bearer = call.user or ""
        elif self.per != "all":
            tenant = self.per(call)
            if tenant is None:
                return None
            bearer, key = tenant, f"{key}/{tenant}"
        return Claim(
            quota=self.name,
            unit=self.unit,
            limit=self.limit,
            window=self.window,
            owner=owner,
            key=key,
            amount=amount,
            bearer=bearer,
            shared=self.per == "all",
        )

    def standing(self, used: int, reserved: int, resets_in: float) -> Standing:
        """Return how it stands."""
        return Standing(
            name=self.name, unit=self.unit, limit=self.limit, used=used, reserved=reserved, resets_in=resets_in
        )


class Quotas:
    """Holds quotas under any concurrency: what a call takes at most is reserved before it, and settled after it.

    A call is admitted when all quotas that apply have room for its worst case: one request, its prompt and the longest
    answer, or what these cost at most with the model that is asked or one of the `fallbacks`. Else nothing is reserved
    and QuotaExceeded raised. After it what was used is booked, by the model that answered; of a call that fails or is
    left nothing is, or what its reader has seen. Money is what somebody pays: with it, attempts that failed are booked
    by what they may have cost.

    Reservations live in `state`, shared by all workers, for `lease` seconds, and are renewed while the call lives:
    those of a worker that dies come back. A place that cannot be reached refuses calls with its StoreError. An address
    such as `"redis://host/0"` stands for a state that is closed with the assistant.
    """

    def __init__(
        self,
        *quotas: Quota,
        state: SharedState | str,
        prices: Prices | None = None,
        lease: float = 60.0,
        kinds: Collection[CallKind] = ("model",),
        fallbacks: Sequence[str] = (),
    ) -> None:
        """Take quotas of different names; `prices` default to those that come with the library.

        Raises ConfigurationError for names that stand twice, or a fallback whose price is needed and not known, and
        UnknownStore and MissingDependency for an address.
        """
        if len({quota.name for quota in quotas}) < len(quotas) or lease <= 0:
            raise ConfigurationError("Quotas: each quota needs a name of its own, and a lease is more than 0 seconds")
        self._quotas = quotas
        self._given = GivenState(state)
        self._state: SharedState = self._given.state
        self._tallies = Tallies({quota.name: Tally(limit=quota.limit, unit=quota.unit) for quota in quotas})
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
        covering = Quotas(
            *self._quotas,
            state=self._state,
            prices=self._prices,
            lease=self._lease,
            kinds=self._kinds,
            fallbacks=tuple(dict.fromkeys((*self._fallbacks, *more))),
        )
        covering._given = self._given  # whichever is closed closes it
        covering._tallies = self._tallies
        return covering

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call if all quotas have room for it. Raises QuotaExceeded, ConfigurationError, StoreError."""
        claims = self._claims(call)
        if not claims:
            return await proceed(call)
        name, lost = urandom(8).hex(), LostAttempts(call)
        made = replace(call, notify=lost.hear) if any(claim.unit == "nanodollars" for claim in claims) else call
        await self._reserve(claims, name)
        used: Sequence[int] | None = None
        try:
            async with Background(partial(self._renew, claims, name)):
                result = await proceed(made)
                used = [self._used(claim, call, result, lost) for claim in claims]
        except BaseException as error:
            lost.ended(error)
            raise
        else:
            return result
        finally:
            if used is None:
                used = [self._shown(claim, call, lost) for claim in claims]
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

    async def aclose(self) -> None:
        """Close the state, if it was given by its address."""
        await self._given.aclose()

    def report_to(self, hear: Hear) -> None:
        """Tell `hear` when a quota is `low`, from 80 % of its limit on, and when it is `used up`.

        Of a quota that each user or tenant has, one worker tells it: the one whose call makes the change, with the user
        or the tenant as `owner`; that a new window begins is not told. Of one that all share, each worker tells what it
        sees, and that it is `ok` again with the first call that it admits then.
        """
        self._tallies.reports.add(hear)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return what is known of a user, window by window: what is used and what is reserved. Raises StoreError."""
        for key, value in sorted((await self._state.values(user)).items()):
            yield UserData(place="quotas", name=key, data=told(key, value))

    def explain(self, call: Call) -> str:
        """Return what a call would reserve."""
        parts = [self._explained(quota, call) for quota in self._concerned(call)]
        return f"quota: {'; '.join(parts)}" if parts else ""

    def health(self) -> Mapping[str, Condition]:
        """Return what this process has seen of each quota: a quota of all that refuses, or use that was not booked."""
        return self._tallies.health()

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

    def _used(self, claim: Claim, call: Call, result: object, lost: LostAttempts) -> int:
        """Return what a call has used; where a server did not report it, at least what was reserved."""
        more = self._lost(call, lost) if claim.unit == "nanodollars" else 0
        if call.usage is None:
            return claim.amount + more
        usage = call.usage(result)
        used = self._measured(claim.unit, call, result, usage)
        return more + (used if usage.reported else max(used, claim.amount))

    def _measured(self, unit: str, call: Call, result: object, usage: Usage) -> int:
        if unit == "requests":
            return max(1, usage.requests)
        if unit == "tokens":
            return usage.total_tokens
        if isinstance(result, ModelResponse) and self._prices.find(result.model) is not None:
            return self._prices.cost(result.model, usage)
        return max(self._prices.cost(name, usage) for name in self._names(call))

    def _shown(self, claim: Claim, call: Call, lost: LostAttempts) -> int:
        """Return what is booked for a call that failed or was left: nothing, unless its reader has seen something."""
        if claim.unit == "nanodollars":
            return self._lost(call, lost)
        if not call.progress.started:
            return 0
        written = tokens_of(sum(map(len, call.progress.text)))
        return self._worst(claim.unit, call, min(written, call.output_tokens))

    def _lost(self, call: Call, lost: LostAttempts) -> int:
        """Return the nanodollars that attempts which failed may have cost."""

        def worst(model: str, prompt: int, output: int) -> int:
            names = (model,) if model and self._prices.find(model) is not None else self._names(call)
            return max(self._prices.worst(name, prompt, output) for name in names)

        return lost.cost(worst)

    def _names(self, call: Call) -> Sequence[str]:
        return (_asked(call), *self._fallbacks)

    async def _reserve(self, claims: Sequence[Claim], name: str) -> None:
        for index, claim in enumerate(claims):
            try:
                shift = await self._state.update(claim.owner, claim.key, claim.take(name, self._lease))
            except BaseException:  # the change may have been made, although nobody was told
                await self._settle(claims[: index + 1], name, [0] * (index + 1))
                raise
            self._tallies.seen(claim, shift)
            if shift.refusal is not None:
                await self._settle(claims[:index], name, [0] * index)
                raise shift.refusal
        for claim in claims:
            self._tallies.admitted(claim)

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
            shift: Shift | None = None
            deadline = anyio.current_time() + _RELEASE / len(claims)
            with anyio.CancelScope(shield=True, deadline=deadline):
                shift = await self._booked(claim, claim.book(name, amount), pauses)
            if shift is not None:
                self._tallies.seen(claim, shift)
            else:
                self._tallies.unbooked(claim, amount)
                _log.warning("quota %r: %d %s could not be booked", claim.quota, amount, claim.unit)

    async def _booked(self, claim: Claim, change: Change[Shift], pauses: Sequence[float]) -> Shift | None:
        for pause in (0.0, *pauses):
            if pause:
                await anyio.sleep(pause)
            try:
                return await self._state.update(claim.owner, claim.key, change)
            except AssistantKitError as error:
                _log.info("quota %r cannot be reached: %s", claim.quota, error)
        return None

    def _explained(self, quota: Quota, call: Call) -> str:
        try:
            amount = str(self._worst(quota.unit, call))
        except ConfigurationError:
            amount = "an unknown number"
        every = f"{quota.window} s" if isinstance(quota.window, int) else quota.window
        return f"{quota.name}: up to {amount} of {quota.limit} {quota.unit} per {every}"


def _asked(call: Call) -> str:
    return call.name if call.model is None else call.model.name
