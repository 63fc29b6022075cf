import importlib.util
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import cast

import anyio
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assistant_kit.artifact_stores.encrypted.sealing import (
    SEGMENT,
    Opening,
    Sealing,
    open_text,
    seal_text,
    sealed_size,
)
from assistant_kit.errors import MissingDependency
from assistant_kit.testing.conformance.artifact_store_workbench import pieces_of

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
TAG = 16
SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 300_000]


async def sealed(data: bytes, key: bytes = KEY) -> bytes:
    return b"".join([piece async for piece in Sealing(key).sealed(pieces_of(data))])


async def opened(pieces: AsyncIterator[bytes], size: int, key: bytes = KEY) -> bytes:
    opening, found = Opening(key, size), bytearray()
    async with aclosing(cast("AsyncGenerator[bytes]", pieces)):
        while piece := await opening.next_piece(pieces):
            found += piece
    return bytes(found)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(at)]


@given(
    size=st.sampled_from(SIZES),
    comes=st.lists(st.integers(0, 300_000), max_size=4),
    goes=st.lists(st.integers(0, 300_100), max_size=4),
)
@example(size=SEGMENT, comes=[SEGMENT], goes=[SEGMENT, SEGMENT + TAG])
@settings(max_examples=25)
def test_bytes_come_back_however_they_are_cut(size: int, comes: list[int], goes: list[int]) -> None:
    data = os.urandom(size)

    async def there_and_back() -> bytes:
        sealing = Sealing(KEY)
        hidden = b"".join([piece async for piece in sealing.sealed(pieces_of(*cut(data, comes)))])
        assert (sealing.size, len(hidden)) == (size, sealed_size(size))
        return await opened(pieces_of(*cut(hidden, goes)), size)

    assert anyio.run(there_and_back) == data


async def test_segments_are_those_that_the_page_describes() -> None:
    data = bytes(SEGMENT) + b"the rest"
    first = AESGCM(KEY).encrypt((1).to_bytes(11, "big") + b"\0", data[:SEGMENT], None)
    last = AESGCM(KEY).encrypt((2).to_bytes(11, "big") + b"\1", data[SEGMENT:], None)

    assert await sealed(data) == first + last


@pytest.mark.parametrize("size", SIZES)
async def test_no_bit_can_be_changed(size: int) -> None:
    hidden = await sealed(bytes(size))
    for place in {0, len(hidden) // 2, len(hidden) - TAG, len(hidden) - 1}:
        changed = bytearray(hidden)
        changed[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match="changed"):
            await opened(pieces_of(bytes(changed)), size)


async def test_segments_cannot_be_cut_off_added_repeated_or_exchanged() -> None:
    size, whole = 3 * SEGMENT, SEGMENT + TAG
    hidden = await sealed(os.urandom(size))
    one, two, three = (hidden[start : start + whole] for start in range(0, len(hidden), whole))

    for wrong in (one + two, one + two + three[:-1], one + one + three, two + one + three, hidden + b"x", b"", three):
        with pytest.raises(ValueError):  # noqa: PT011  (what it says differs)
            await opened(pieces_of(wrong), size)
    with pytest.raises(ValueError):  # noqa: PT011  (a beginning is no whole, whatever its size is said to be)
        await opened(pieces_of(one + two), 2 * SEGMENT)


async def test_another_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="another key"):
        await opened(pieces_of(await sealed(b"x", os.urandom(32))), 1)


async def test_what_is_clear_already_is_given_before_the_rest_has_come() -> None:
    hidden = await sealed(bytes(3 * SEGMENT))
    opening = Opening(KEY, 3 * SEGMENT)

    async def endless() -> AsyncGenerator[bytes]:
        yield hidden[: SEGMENT + TAG + 5]
        await anyio.sleep_forever()

    with anyio.fail_after(10):
        async with aclosing(endless()) as pieces:
            assert await opening.next_piece(pieces) == bytes(SEGMENT)


def test_a_text_opens_in_its_place_alone() -> None:
    one, same = (seal_text(KEY, b"text", b"here") for _ in range(2))

    assert one != same
    assert open_text(KEY, one, b"here") == b"text"
    for key, text, context in (
        (os.urandom(32), one, b"here"),
        (KEY, one, b"there"),
        (KEY, one[:-1], b"here"),
        (KEY, b"", b"here"),
    ):
        with pytest.raises(ValueError, match="changed"):
            open_text(key, text, context)


def test_without_its_package_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec("assistant_kit.artifact_stores.encrypted.sealing")
    assert found
    assert found.origin
    again = importlib.util.spec_from_file_location("sealing_again", found.origin)
    assert again
    assert again.loader
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    with pytest.raises(MissingDependency) as caught:
        again.loader.exec_module(importlib.util.module_from_spec(again))

    assert (caught.value.package, caught.value.extra) == ("cryptography", "encryption")
