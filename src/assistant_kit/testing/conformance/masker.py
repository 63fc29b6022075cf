"""The suite that every masker passes."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, assert the language)

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import anyio
import anyio.to_thread
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.masker import Masker, Origin, TextStream, UserMasker
from assistant_kit.protocols.user_data import UserData
from assistant_kit.testing.no_leak import assert_no_leak

__all__ = ["MaskerConformance"]

PATIENCE = 60.0
"""Seconds after which a test that waits has failed."""

PLAIN = "The meeting about the new kitchen is on Tuesday, and everybody is there."

ODD_TEXTS = (
    "",
    " ",
    "\n\t",
    "x",
    "nul \0 and \x7f",
    "half \ud800 a pair",
    "漢字",
    "👩‍👩‍👧‍👦",
    "\u202eright to left",
    "<",
    "<<_1>>",
    "<A_1",
    "<A_0>",
)
"""Texts with nothing private in them."""

LOOKALIKES = "<EMAIL_1> <TEXT_1> <CARD_12> <<EMAIL_1>_1> <EMAIL_1"


class MaskerConformance(ABC):
    """What `protocols/masker.py` promises, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyMasker(MaskerConformance):
            private = ("Ann Smith", "Bob Jones")

            async def open_masker(self, folder: Path) -> Masker:
                return MyMasker()

    `folder` is the test's own, and empty. `private` are at least two values that the masker finds between blanks. Set
    `serves_event_loops = False` for a masker whose object belongs to one event loop.
    """

    private: ClassVar[Sequence[str]] = ("ann@example.org", "bob.jones@example.com", "4111 1111 1111 1111")
    """Values that the masker finds."""

    most_held: ClassVar[int] = 50_000
    """How many characters a stream may hold back at most."""

    serves_event_loops: ClassVar[bool] = True
    """Whether one object serves several event loops."""

    @abstractmethod
    async def open_masker(self, folder: Path) -> Masker:
        """Return a masker that knows no user."""

    @pytest.fixture
    async def masker(self, tmp_path: Path) -> AsyncIterator[Masker]:
        """Return a masker, and close it after the test."""
        masker = await self.open_masker(tmp_path)
        try:
            yield masker
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await masker.aclose()

    @pytest.fixture
    def ann(self, masker: Masker) -> UserMasker:
        """Return the handle of a user."""
        return masker.for_user("ann")

    def _text(self) -> str:
        return (
            f"{PLAIN} {' and '.join(self.private)} {PLAIN} {' and '.join(reversed(self.private))} {LOOKALIKES} {PLAIN}"
        )

    async def test_a_masked_text_has_no_private_value_and_comes_back_as_it_was(self, ann: UserMasker) -> None:
        (masked,) = await _masked(ann, [self._text()])

        assert_no_leak(masked, self.private)
        assert masked.startswith(PLAIN)
        assert await _restored(ann, [masked]) == [self._text()]

    async def test_a_value_has_one_pseudonym_in_all_texts_and_each_value_its_own(self, masker: Masker) -> None:
        first = await _masked(masker.for_user("ann"), [f"to {value} please" for value in self.private])
        again = await _masked(masker.for_user("ann"), [f"to {value} please" for value in self.private])

        assert first == again
        assert len(set(first)) == len(self.private)

    @pytest.mark.parametrize("text", [*ODD_TEXTS, PLAIN])
    async def test_a_text_without_a_private_value_stays_as_it_is(self, ann: UserMasker, text: str) -> None:
        assert await _masked(ann, [text]) == [text]
        assert await _restored(ann, [text]) == [text]
        assert await _through(ann.mask_stream(), text) == text
        assert await _through(ann.restore_stream(), text) == text

    async def test_no_texts_are_no_texts(self, ann: UserMasker) -> None:
        assert await _masked(ann, []) == []
        assert await _restored(ann, []) == []

    async def test_what_looks_like_a_pseudonym_from_outside_comes_back(self, ann: UserMasker) -> None:
        (masked,) = await _masked(ann, [LOOKALIKES])

        assert masked != LOOKALIKES
        assert await _restored(ann, [masked]) == [LOOKALIKES]

    async def test_a_pseudonym_that_the_model_wrote_stays_and_a_value_does_not(self, ann: UserMasker) -> None:
        one, other = self.private[:2]
        (known,) = await _masked(ann, [one])
        (masked,) = await _masked(ann, [f"{known} and {other} and {one}"], origin="model")

        assert_no_leak(masked, self.private)
        assert masked.startswith(f"{known} and ")
        assert masked.endswith(f" and {known}")
        assert await _restored(ann, [masked]) == [f"{one} and {other} and {one}"]

    async def test_unknown_pseudonyms_stay(self, ann: UserMasker) -> None:
        assert await _restored(ann, ["<EMAIL_77> and <NOBODY_1>"]) == ["<EMAIL_77> and <NOBODY_1>"]

    async def test_pseudonyms_of_another_user_stay(self, masker: Masker, ann: UserMasker) -> None:
        masked = await _masked(ann, [self._text()])

        assert await _restored(masker.for_user("bob"), masked) == masked

    @pytest.mark.parametrize("origin", ["outside", "model"])
    async def test_a_text_in_pieces_is_masked_like_the_whole_wherever_it_is_cut(
        self, ann: UserMasker, origin: Origin
    ) -> None:
        text = self._text()
        (whole,) = await _masked(ann, [text], origin=origin)

        for pieces in _cuts(text):
            assert await _through(ann.mask_stream(origin=origin), *pieces) == whole

    async def test_a_text_in_pieces_is_restored_like_the_whole_wherever_it_is_cut(self, ann: UserMasker) -> None:
        (masked,) = await _masked(ann, [self._text()])

        for pieces in _cuts(masked):
            assert await _through(ann.restore_stream(), *pieces) == self._text()

    async def test_a_stream_holds_back_a_bounded_number_of_characters(self, ann: UserMasker) -> None:
        streams = [ann.mask_stream(), ann.restore_stream()]
        fed = 0
        returned = [0, 0]
        with anyio.fail_after(PATIENCE):
            while fed <= 2 * self.most_held:
                fed += len(PLAIN) + 1
                for number, stream in enumerate(streams):
                    returned[number] += len(await stream.feed(f"{PLAIN} "))
                    assert fed - returned[number] <= self.most_held

    async def test_what_is_redacted_has_no_value_and_nothing_is_kept(self, masker: Masker) -> None:
        redacted = masker.redact(f"{PLAIN} {' and '.join(self.private)}")

        assert_no_leak(redacted, self.private)
        assert redacted.startswith(PLAIN)
        assert [each async for each in masker.export_user("ann")] == []

    async def test_what_is_kept_is_exported(self, masker: Masker, ann: UserMasker) -> None:
        (masked,) = await _masked(ann, [" and ".join(self.private)])
        kept = [each async for each in masker.export_user("ann")]

        assert [each.data["value"] for each in kept if isinstance(each, UserData)] == [*self.private]
        assert masked == " and ".join(each.name for each in kept if isinstance(each, UserData))
        assert [each async for each in masker.export_user("bob")] == []

    async def test_an_erased_user_is_forgotten_and_nobody_else(self, masker: Masker, ann: UserMasker) -> None:
        bob = masker.for_user("bob")
        of_ann, of_bob = await _masked(ann, [self._text()]), await _masked(bob, [self._text()])
        with anyio.fail_after(PATIENCE):
            await masker.erase_user("ann")
            await masker.erase_user("ann")

        assert [each async for each in masker.export_user("ann")] == []
        assert_no_leak([*await _restored(ann, of_ann), *await _restored(masker.for_user("ann"), of_ann)], self.private)
        assert await _restored(bob, of_bob) == [self._text()]
        assert await _restored(ann, await _masked(ann, [self._text()])) == [self._text()]

    async def test_many_tasks_mask_the_same_at_once(self, masker: Masker) -> None:
        masked: list[Sequence[str]] = []

        async def mask() -> None:
            masked.append(await masker.for_user("ann").mask(self.private))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(mask)

        assert masked == [masked[0]] * 8

    async def test_several_event_loops_share_a_masker(self, ann: UserMasker, anyio_backend_name: str) -> None:
        if not self.serves_event_loops:
            pytest.skip("this masker serves one event loop")
        here = await _masked(ann, self.private)

        there = await anyio.to_thread.run_sync(
            lambda: anyio.run(_masked, ann, self.private, backend=anyio_backend_name)
        )

        assert here == there

    async def test_a_user_has_a_name(self, masker: Masker) -> None:
        with pytest.raises(InputError):
            masker.for_user("")

    async def test_closing_twice_is_closing(self, masker: Masker) -> None:
        with anyio.fail_after(PATIENCE):
            await masker.aclose()
            await masker.aclose()


async def _masked(masker: UserMasker, texts: Sequence[str], *, origin: Origin = "outside") -> list[str]:
    with anyio.fail_after(PATIENCE):
        return list(await masker.mask(texts, origin=origin))


async def _restored(masker: UserMasker, texts: Sequence[str]) -> list[str]:
    with anyio.fail_after(PATIENCE):
        return list(await masker.restore(texts))


async def _through(stream: TextStream, *pieces: str) -> str:
    with anyio.fail_after(PATIENCE):
        return "".join([await stream.feed(piece) for piece in pieces]) + await stream.finish()


def _cuts(text: str) -> Iterable[Sequence[str]]:
    """Cut a text letter by letter, around each place near its values, and at random."""
    yield list(text)
    for place in range(len(PLAIN), len(text) - len(PLAIN), 3):
        yield [text[:place], "", text[place:]]
    choose = random.Random(7)  # noqa: S311  (it makes tests)
    for _ in range(20):
        places = sorted(choose.choices(range(len(text)), k=choose.randint(2, 30)))
        yield [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]
