import pytest

from assistant_kit.audit import Anchor, Finding
from assistant_kit.errors import InputError


def test_an_anchor_is_written_as_text_and_read_again() -> None:
    anchor = Anchor(n=12, link=bytes(range(32)))

    assert str(anchor) == f"12:{bytes(range(32)).hex()}"
    assert Anchor.parse(f" {anchor}\n") == anchor


@pytest.mark.parametrize("text", ["", "12", "12:", "x:" + "00" * 32, "-1:" + "00" * 32, "1:00", "1:" + "zz" * 32])
def test_a_text_that_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Anchor.parse(text)


def test_a_finding_says_in_words_what_and_where() -> None:
    finding = Finding(problem="changed_record", conversation="c", seq=3, detail="body")

    assert str(finding) == "conversation 'c', record 3: the record is not what was written (body)"
    assert str(Finding(problem="changed_link", n=7)).startswith("link 7: ")
    assert str(Finding(problem="no_chain")).startswith("the user: ")
