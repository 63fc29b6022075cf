"""Numbers with check digits are found however they are grouped, and others are not."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.maskers.rules import Recogniser, card, german_tax_id, iban, phone, us_social_security
from assistant_kit.maskers.rules.checksums import luhn, mod_11_10, mod_97
from assistant_kit.maskers.rules.numbers import IBAN_LENGTHS

DIGITS = st.text("0123456789", min_size=16, max_size=16)


def found(recogniser: Recogniser, text: str) -> list[str]:
    return [text[begin:end] for begin, end in recogniser.find(text, 0, len(text), 0)]


def grouped(number: str, sizes: Sequence[int], gap: str) -> str:
    groups, place = list[str](), 0
    for size in sizes:
        groups.append(number[place : place + size])
        place += size
    return gap.join([*groups, number[place:]]).strip(gap)


def with_luhn(digits: str) -> str:
    return next(digits + last for last in "0123456789" if luhn(digits + last))


@given(digits=st.text("0123456789", min_size=14, max_size=14), sizes=st.lists(st.integers(1, 6), max_size=3))
def test_a_card_is_found_in_any_groups(digits: str, sizes: list[int]) -> None:
    number = with_luhn(f"4{digits}")
    for gap in " -\u00a0":
        written = grouped(number, sizes, gap)
        assert found(card(), f"card {written}.") == ([] if len(set(number)) == 1 else [written])


@given(digits=st.text("0123456789", min_size=14, max_size=14), place=st.integers(1, 15), by=st.integers(1, 9))
def test_a_card_with_one_wrong_digit_is_none(digits: str, place: int, by: int) -> None:
    number = with_luhn(f"4{digits}")
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]

    assert found(card(), wrong) == []


def ibans() -> st.SearchStrategy[str]:
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return st.sampled_from(sorted(IBAN_LENGTHS)).flatmap(
        lambda country: st.text(letters, min_size=IBAN_LENGTHS[country] - 4, max_size=IBAN_LENGTHS[country] - 4).map(
            lambda account: with_check_digits(country, account)
        )
    )


def with_check_digits(country: str, account: str) -> str:
    rest = int("".join(str(int(letter, 36)) for letter in f"{account}{country}00")) % 97
    return f"{country}{98 - rest:02}{account}"


@given(number=ibans(), size=st.integers(1, 40))
def test_an_iban_of_every_country_is_found_in_any_groups(number: str, size: int) -> None:
    written = " ".join(number[begin : begin + size] for begin in range(0, len(number), size))

    if size not in {1, 3}:  # a country code or check digits that are cut in two belong to no promise
        assert found(iban(), f"to {written}, please") == [written]
        assert found(iban(), f"to {written.lower()}") == [written.lower()]


@given(number=ibans(), place=st.integers(4, 33), by=st.integers(1, 9))
def test_an_iban_with_one_wrong_character_is_none(number: str, place: int, by: int) -> None:
    at = 4 + (place - 4) % (len(number) - 4)
    digit = int(number[at], 36)
    changed = str((digit + by) % 10) if digit < 10 else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(digit - 10 + by) % 26]

    assert found(iban(), number[:at] + changed + number[at + 1 :]) == []


def test_checks_know_the_examples_of_their_standards() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert mod_97("GB82WEST12345698765432")
    assert not mod_97("GB82WEST12345698765431")
    assert mod_11_10("86095742719")
    assert not mod_11_10("86095742718")


def test_a_tax_id_has_a_digit_two_or_three_times_and_no_other_twice() -> None:
    def complete(ten: str) -> str:
        return next(ten + last for last in "0123456789" if mod_11_10(ten + last))

    assert found(german_tax_id(), complete("1234567899"))
    assert found(german_tax_id(), complete("1234567999"))
    assert not found(german_tax_id(), complete("1234567890"))
    assert not found(german_tax_id(), complete("1234569999"))
    assert not found(german_tax_id(), complete("1234567788"))


def test_a_number_that_goes_on_is_another_one() -> None:
    for more in ("0", "-1", ",5", ".5", "x", "_"):
        assert not found(us_social_security(), f"123-45-6789{more}")
        assert not found(card(), f"4111111111111111{more}")
    for end in ("", ".", ", ", "-", " 0"):
        assert found(us_social_security(), f"123-45-6789{end}")


def test_a_telephone_number_ends_where_more_than_a_gap_stands() -> None:
    assert found(phone(), "+47 22 12 34 56  78 90") == ["+47 22 12 34 56"]
    assert found(phone(), "+47 22 12 34 56 (see 9)") == ["+47 22 12 34 56"]
    assert found(phone(), "+47 22 12 34 56 -- 7") == ["+47 22 12 34 56"]
