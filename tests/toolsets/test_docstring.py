"""Docstrings in the usual styles say what the model is told of a function and its parameters."""

from inspect import cleandoc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.toolsets._docstring import Documented, documented

GOOGLE = """
    Find a train.

    Only direct ones.

    Args:
        origin (str): Where it leaves,
            by its code.
        to (Callable[[int], str], optional): Where it goes: a code.
        *rest: More.
        undocumented
    Returns:
        city: not a parameter
"""
NUMPY = """
    Find a train.

    Only direct ones.

    Parameters
    ----------
    origin : str
        Where it leaves,
        by its code.
    to : str, optional
        Where it goes: a code.
    *rest
        More.
    undocumented : int

    Returns
    -------
    city : str
        not a parameter
"""
SPHINX = """
    Find a train.

    Only direct ones.

    :param origin: Where it leaves,
        by its code.
    :param str to: Where it goes: a code.
    :type to: str
    :param rest: More.
    :param undocumented:
    :returns: not a parameter
    :raises ValueError: never
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_the_summary_and_the_parameters_are_found(text: str) -> None:
    assert documented(cleandoc(text)) == Documented(
        summary="Find a train.\n\nOnly direct ones.",
        parameters={"origin": "Where it leaves, by its code.", "to": "Where it goes: a code.", "rest": "More."},
    )


def test_numpy_parameters_that_share_a_line_share_their_description() -> None:
    text = "Move.\n\nParameters\n----------\nx, y : float\n    A coordinate.\n"
    assert documented(text).parameters == {"x": "A coordinate.", "y": "A coordinate."}


def test_keyword_arguments_have_a_section_of_their_own() -> None:
    text = "Move.\n\nArgs:\n    x: One.\n\nKeyword Args:\n    y: Two.\n\nSee Also:\n    z: no parameter\n"
    assert documented(text) == Documented(summary="Move.", parameters={"x": "One.", "y": "Two."})


def test_a_docstring_without_sections_is_all_summary() -> None:
    assert documented("Do it.\n\nAt once.") == Documented(summary="Do it.\n\nAt once.")
    assert documented("") == Documented(summary="")
    assert documented("Args:") == Documented(summary="")


@given(
    st.text(st.sampled_from("a :\n-(),*x") | st.characters(), max_size=60),
    st.sampled_from(["", "Args:\n", "Parameters\n-\n", ":param x: "]),
)
def test_no_docstring_is_too_odd_to_read(text: str, start: str) -> None:
    read = documented(start + text)
    assert all(read.parameters.values())
