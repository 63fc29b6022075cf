"""On a corpus of our own the rules find what they promise, and nothing else."""

from tests.maskers.rules.corpus import read, scored


def test_what_the_rules_promise_is_found_and_nothing_else() -> None:
    lines = [line for line in read() if line.promised]
    score = scored(lines)

    assert score.lines == []
    assert len(lines) >= 200
    assert (score.wrong.total(), score.missed.total()) == (0, 0)
    assert score.right.total() >= 130
    assert sum(not line.private for line in lines) >= 100


def test_the_corpus_has_private_data_that_the_rules_do_not_find() -> None:
    score = scored([line for line in read() if not line.promised])

    assert score.missed.total() >= 8
    assert "0.0%" in score.table()
