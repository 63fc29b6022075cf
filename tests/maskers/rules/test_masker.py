"""What the masker does with what its recognisers find, and with a vault that fails."""

from collections.abc import Collection, Mapping, Sequence

import anyio
import pytest

from assistant_kit.errors import StoreUnavailable
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import Pattern, RuleMasker, email, standard
from assistant_kit.maskers.rules.masker import PartStream, UserRules
from assistant_kit.maskers.rules.pseudonyms import pseudonym
from assistant_kit.maskers.rules.scanner import Search
from assistant_kit.protocols.masker import Private

pytestmark = pytest.mark.anyio


async def masked(masker: RuleMasker, text: str) -> str:
    return (await masker.for_user("ann").mask([text]))[0]


async def test_of_matches_that_overlap_the_longest_wins_and_the_rest_of_others_is_masked_too() -> None:
    short, long = Pattern("SHORT", "abc"), Pattern("LONG", "bcdef")

    assert await masked(RuleMasker(MemoryVault(), [short, long]), "xabcdefx") == "x<SHORT_1><LONG_1>x"
    assert await masked(RuleMasker(MemoryVault(), [Pattern("END", "efg"), long]), "xabcdefgx") == "xa<LONG_1><END_1>x"


async def test_of_equal_matches_the_one_of_the_first_recogniser_wins() -> None:
    one, other = Pattern("ONE", "abc"), Pattern("OTHER", "abc")

    assert await masked(RuleMasker(MemoryVault(), [one, other]), "abc") == "<ONE_1>"
    assert await masked(RuleMasker(MemoryVault(), [other, one]), "abc") == "<OTHER_1>"


async def test_a_pseudonym_in_what_the_model_wrote_is_never_a_part_of_a_value() -> None:
    masker = RuleMasker(MemoryVault(), [Pattern("LINE", "Dear .*", within="line"), email()]).for_user("ann")
    (known,) = await masker.mask(["ann@example.org"])
    (line,) = await masker.mask([f"Dear {known} and others"], origin="model")

    assert line == f"<LINE_1>{known}<LINE_2>"
    assert await masker.restore([line]) == ["Dear ann@example.org and others"]


async def test_only_the_chosen_recognisers_work() -> None:
    assert await masked(RuleMasker(MemoryVault(), [email()]), "ann@example.org 10.0.0.1") == "<EMAIL_1> 10.0.0.1"
    assert await masked(RuleMasker(MemoryVault(), []), "ann@example.org") == "ann@example.org"


async def test_a_long_text_is_masked_like_a_short_one() -> None:
    words = "and nothing else " * 2_000

    assert await masked(RuleMasker(MemoryVault()), f"{words}ann@example.org {words}") == f"{words}<EMAIL_1> {words}"


def test_what_is_redacted_keeps_its_pseudonyms() -> None:
    assert RuleMasker(MemoryVault()).redact("<EMAIL_3> ann@example.org") == "<EMAIL_3> <EMAIL>"


class Failing:
    """A vault that fails until it is mended, and counts what it is asked."""

    def __init__(self) -> None:
        self.works: bool = False
        self.asked: int = 0

    async def hide(self, values: Sequence[Private]) -> Sequence[str]:
        self._check()
        return ["<EMAIL_1>"] * len(values)

    async def reveal(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        self._check()
        return dict.fromkeys(pseudonyms, "ann@example.org")

    def _check(self) -> None:
        self.asked += 1
        if not self.works:
            raise StoreUnavailable("the vault is closed for lunch")


def user_of(vault: Failing) -> UserRules:
    return UserRules(vault, Search(standard(), above=pseudonym()))


@pytest.mark.parametrize(
    ("direction", "text", "expected"),
    [("mask", "To ann@example.org now", "To <EMAIL_1> now"), ("restore", "To <EMAIL_1> now", "To ann@example.org now")],
)
async def test_what_a_stream_was_fed_is_not_lost_when_the_vault_fails(direction: str, text: str, expected: str) -> None:
    vault = Failing()
    stream: PartStream = user_of(vault).mask_stream() if direction == "mask" else user_of(vault).restore_stream()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await stream.feed(text)
        text = ""
    vault.works = True

    assert await stream.feed("") + await stream.finish() == expected


async def test_a_vault_is_asked_once_for_all_texts_and_not_for_what_has_no_values() -> None:
    vault = Failing()
    vault.works = True
    user = user_of(vault)
    await user.mask(["nothing", "ann@example.org", "bob@example.org ann@example.org"])
    assert vault.asked == 1
    await user.restore(["nothing <EMAIL_1> <EMAIL_2>", "<EMAIL_1>"])
    assert vault.asked == 2
    await user.mask(["nothing", ""])
    await user.restore(["nothing", ""])
    assert vault.asked == 2


async def test_a_stream_tells_how_much_it_holds_back() -> None:
    stream = RuleMasker(MemoryVault()).for_user("ann").mask_stream()
    with anyio.fail_after(5):
        assert await stream.feed("To ann@example") == "To "
        assert stream.held == len("ann@example")
        assert await stream.feed(".org, ") == "<EMAIL_1>, "
        assert stream.held == 0


def test_nothing_private_is_shown() -> None:
    shown = [repr(RuleMasker(MemoryVault())), repr(email()), repr(Private(kind="EMAIL", value="ann@example.org"))]

    assert "ann@example.org" not in str(shown)
    assert shown[1] == "ShapeRecogniser(EMAIL)"
