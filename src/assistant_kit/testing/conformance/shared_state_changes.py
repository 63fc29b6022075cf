"""Tests of one task that changes values: what a change is given, what it leaves, for how long."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import math

import anyio
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.testing.conformance.shared_state_workbench import (
    BAD_NAMES,
    ODD_NAMES,
    PATIENCE,
    SharedStateWorkbench,
    all_at_once,
    increment,
    look,
    put,
    value_of,
    watch,
)


class Refusal(Exception):
    """An error of a change."""


class SharedStateChanges(SharedStateWorkbench):
    """A change gets the value and the time, and leaves what it returns."""

    async def test_a_value_that_is_not_there_is_none(self, state: SharedState, owner: str) -> None:
        assert await value_of(state, owner) is None
        assert await state.values(owner) == {}

    async def test_a_change_leaves_its_value_and_tells_its_result(self, state: SharedState, owner: str) -> None:
        assert await state.update(owner, "k", lambda _, __: Changed(value=b"v", result=("any", "thing"))) == (
            "any",
            "thing",
        )

        assert await value_of(state, owner) == b"v"
        assert await state.values(owner) == {"k": b"v"}

    async def test_changes_follow_each_other(self, state: SharedState, owner: str) -> None:
        assert [await state.update(owner, "k", increment) for _ in range(5)] == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("value", [b"", b"\0", bytes(range(256)), b"x" * 100_000], ids=len)
    async def test_a_value_is_any_bytes(self, state: SharedState, owner: str, value: bytes) -> None:
        await state.update(owner, "k", put(value))
        assert await value_of(state, owner) == value

        await state.update(owner, "k", put(b"less"))
        assert await value_of(state, owner) == b"less"

    async def test_none_deletes_a_value(self, state: SharedState, owner: str) -> None:
        await state.update(owner, "k", put(b"v"))
        await state.update(owner, "k", put(None))
        await state.update(owner, "never there", put(None))

        assert await value_of(state, owner) is None
        assert await state.values(owner) == {}
        assert await state.update(owner, "k", increment) == 1

    async def test_an_error_of_a_change_changes_nothing_and_is_raised_as_it_is(
        self, state: SharedState, owner: str
    ) -> None:
        error = Refusal()

        def refuse(_: bytes | None, __: float) -> Changed[None]:
            raise error

        await state.update(owner, "k", put(b"v"))
        with pytest.raises(Refusal) as caught:
            await state.update(owner, "k", refuse)

        assert caught.value is error
        assert await value_of(state, owner) == b"v"

    async def test_time_moves_and_never_runs_backwards(self, state: SharedState, owner: str) -> None:
        times: list[float] = []
        with anyio.fail_after(PATIENCE):
            while len(set(times)) < 5 or len(times) < 50:
                times.append(await state.update(owner, "k", put(b"%d" % (len(times) // 2))))
                times.append((await state.update(owner, "k", look))[1])

        assert times == sorted(times)

    async def test_a_value_is_forgotten_after_its_time(self, state: SharedState, owner: str) -> None:
        written = await state.update(owner, "k", put(b"v", keep=0.2))
        await state.update(owner, "other", put(b"stays", keep=600))

        seen = await watch(state, owner, until=written + 0.2)

        assert {value for value, now in seen if now < written + 0.2} <= {b"v"}
        assert {value for value, now in seen if now > written + 0.2} == {None}
        assert await state.values(owner) == {"other": b"stays"}
        assert await state.update(owner, "k", increment) == 1

    async def test_a_change_gives_a_value_a_new_time(self, state: SharedState, owner: str) -> None:
        written = await state.update(owner, "k", put(b"v", keep=0.1))
        await state.update(owner, "k", put(b"longer", keep=600))
        await watch(state, owner, until=written + 0.2)
        assert await state.values(owner) == {"k": b"longer"}

        await state.update(owner, "k", put(b"shorter", keep=0.0))
        assert await state.values(owner) == {}

    async def test_a_value_may_be_kept_for_ever(self, state: SharedState, owner: str) -> None:
        await state.update(owner, "k", put(b"short", keep=60))
        await state.update(owner, "k", put(b"for ever", keep=math.inf))
        await state.update(owner, "other", put(b"short", keep=60))

        assert await state.values(owner) == {"k": b"for ever", "other": b"short"}

    @pytest.mark.parametrize("keep", [-1.0, -math.inf, math.nan])
    async def test_a_value_cannot_be_kept_for_less_than_no_time(
        self, state: SharedState, owner: str, keep: float
    ) -> None:
        await state.update(owner, "k", put(b"v"))

        with pytest.raises(InputError):
            await state.update(owner, "k", put(b"new", keep=keep))

        assert await value_of(state, owner) == b"v"

    async def test_owners_and_keys_are_told_apart_by_whatever_names(self, state: SharedState, owner: str) -> None:
        owners = [owner, *(f"{owner}{name}" for name in ODD_NAMES[:-1]), owner.upper(), f"{owner} ", ODD_NAMES[-1]]
        keys = ["k", "K", *ODD_NAMES]
        await state.erase(ODD_NAMES[-1])
        await all_at_once(
            lambda each=each, key=key: state.update(each, key, put(repr((each, key)).encode()))
            for each in owners
            for key in keys
        )

        for each in owners:
            assert await state.values(each) == {key: repr((each, key)).encode() for key in keys}
        await state.erase(ODD_NAMES[-1])

    async def test_nobody_is_an_owner_too(self, state: SharedState, owner: str) -> None:
        await state.update("", owner, put(b"v"))
        assert (await state.values(""))[owner] == b"v"

        await state.update("", owner, put(None))
        assert owner not in await state.values("")

    @pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
    async def test_names_that_some_place_cannot_hold_are_refused(
        self, state: SharedState, owner: str, name: str
    ) -> None:
        with pytest.raises(InputError):
            await state.update(name, "k", increment)
        with pytest.raises(InputError):
            await state.update(owner, name, increment)
        with pytest.raises(InputError):
            await state.values(name)
        with pytest.raises(InputError):
            await state.erase(name)

        assert await state.values(owner) == {}

    async def test_a_key_has_a_name(self, state: SharedState, owner: str) -> None:
        with pytest.raises(InputError):
            await state.update(owner, "", increment)

    async def test_an_owner_is_erased_and_the_others_are_not(self, state: SharedState, owner: str) -> None:
        others = [f"{owner}:", f"{owner}x", owner[:-1], owner.upper()]
        for each in (owner, *others):
            for key in ("k", "other"):
                await state.update(each, key, put(b"v"))

        await state.erase(owner)
        await state.erase(owner)

        assert await state.values(owner) == {}
        assert await value_of(state, owner) is None
        assert [len(await state.values(other)) for other in others] == [2, 2, 2, 2]
        assert await state.update(owner, "k", increment) == 1
