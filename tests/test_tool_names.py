import re

from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.tool_names import model_names

LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@given(st.sets(st.text(max_size=80) | st.text("ab._/", max_size=4) | st.text("a/", min_size=62, max_size=68)))
def test_each_name_becomes_a_legal_one_of_its_own_whatever_the_order(names: set[str]) -> None:
    given_names = model_names(sorted(names))
    assert set(given_names) == names
    assert len(set(given_names.values())) == len(names)
    assert all(LEGAL.fullmatch(name) for name in given_names.values())
    assert all(given_names[name] == name for name in names if LEGAL.fullmatch(name))
    assert model_names(sorted(names, reverse=True)) == given_names


def test_repaired_names_are_told_apart_also_from_names_that_look_repaired() -> None:
    names = model_names(["a.b", "a/b"])
    assert all(re.fullmatch("a_b_[0-9a-f]{8}", name) for name in names.values())
    crowded = model_names(["a.b", "a/b", names["a.b"]])
    assert crowded[names["a.b"]] == names["a.b"]
    assert crowded["a.b"] not in (names["a.b"], names["a/b"])
