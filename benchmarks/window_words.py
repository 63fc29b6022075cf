"""Sentences without end, the same in every run: about 1.2 tokens a word."""

from __future__ import annotations

from random import Random

_WORDS = """
the train to Bergen leaves at nine from platform four and takes seven hours through mountains that are white until June
we would like two seats by the window because my daughter draws what she sees please book them before noon today if that
is possible otherwise tell me when another one goes how much does it cost with a dog and three large bags hotels near
harbour are full but there is room for us in a small house behind station its owner speaks English bring rain coats warm
socks your passport tickets some food for children maps do not work without signal so print them yesterday weather was
good tomorrow wind comes up from north west roads may close above tree line ask again later thank you very much indeed
"""
WORDS = _WORDS.split()


def sentence(random: Random, words: int) -> str:
    """Return so many words."""
    return " ".join(random.choices(WORDS, k=words))
