"""The handful that runs each time; `python -m tests.examples.web.browser` runs all."""

from tests.examples.web.browser.chat import (
    test_a_call_that_needs_approval_waits_for_the_button,
    test_an_answer_comes_token_by_token_and_ends_as_what_its_markdown_says,
    test_hostile_markdown_and_tool_results_run_and_load_nothing,
)
from tests.examples.web.browser.connection import test_a_browser_that_was_away_in_mid_answer_has_every_token_once

__all__ = [
    "test_a_browser_that_was_away_in_mid_answer_has_every_token_once",
    "test_a_call_that_needs_approval_waits_for_the_button",
    "test_an_answer_comes_token_by_token_and_ends_as_what_its_markdown_says",
    "test_hostile_markdown_and_tool_results_run_and_load_nothing",
]
