"""What an error of an embeddings server may say."""

from assistant_kit.embedders._failures import Source


def test_the_key_is_not_quoted_and_long_words_are_cut() -> None:
    source = Source(name="openai:m", address="http://localhost/v1", key="secret")
    assert source.quote("the key  secret\nis wrong") == "the key *** is wrong"
    assert len(source.quote("x" * 10_000)) == 500
    assert "secret" not in repr(source)


def test_without_a_key_nothing_is_taken_out() -> None:
    assert Source(name="openai:m", address="http://localhost/v1", key="").quote("some words") == "some words"
