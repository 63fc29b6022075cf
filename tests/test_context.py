"""What may be said of the parts that fill a context window."""

import pytest

from assistant_kit import Context
from assistant_kit.errors import ConfigurationError
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker


def test_tools_that_get_values_are_named_only_where_values_are_hidden() -> None:
    masker = RuleMasker(MemoryVault())
    assert Context(masker=masker, raw_arguments={"send"}).masker is masker
    with pytest.raises(ConfigurationError):
        Context(raw_arguments={"send"})


def test_a_single_name_is_not_taken_for_the_names_of_its_letters() -> None:
    with pytest.raises(ConfigurationError):
        Context(masker=RuleMasker(MemoryVault()), raw_arguments="send")
