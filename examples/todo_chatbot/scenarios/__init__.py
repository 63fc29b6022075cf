"""Sentences that people say to the todo assistant, and what has to come of them."""
