"""What an error of a server that speaks OpenAI's protocol may say."""

import openai

from assistant_kit.openai_failures import Source


def source(key: str) -> Source:
    client = openai.AsyncOpenAI(api_key="unused")
    client.api_key = key
    return Source(model="openai:m", address="http://localhost/v1", client=client)


def test_the_key_is_not_quoted_and_long_words_are_cut() -> None:
    assert source("secret").quote("the key  secret\nis wrong") == "the key *** is wrong"
    assert len(source("secret").quote("x" * 10_000)) == 500
    assert "secret" not in repr(source("secret"))


def test_without_a_key_nothing_is_taken_out() -> None:
    assert source("").quote("some words") == "some words"
