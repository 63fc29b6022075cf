"""Which tools bear on a question: a rank by the words they share, and a choice that keeps to a number of tokens."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log

from assistant_kit.messages import Json
from assistant_kit.tool_spec import ToolSpec

NAME, PARAMETERS, DESCRIPTION, DETAILS = 3.0, 1.0, 1.0, 0.5
"""What a word counts in the name of a tool, in those of its parameters, in its description, and in theirs."""
_SATURATION = 1.2  # BM25's k1: how soon a word that is repeated counts no more
_LENGTH = 0.4  # BM25's b: how much long descriptions are held against a tool
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+")  # Japanese, Chinese, Thai
_ENDINGS = ("ings", "ing", "ies", "ed", "es", "s", "e", "y")
_STEM = 3  # letters that are left at least
_EVERYWHERE = """
a about all an and any are as at be by can could do does for from give had has have how i if in into is it its let me my
of on or our please s should so some t than that the their them then there these this those to up us use used using was
we were what when where which who will with would you your
"""
_IDLE = frozenset(_EVERYWHERE.split())


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a text or a name, in a form that is the same for their forms: `getUsers` is get, user.

    Words that stand everywhere are left out. Scripts without spaces give pairs of letters.
    """
    for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
        if _UNSPACED.fullmatch(word):
            yield from (word[index : index + 2] for index in range(max(1, len(word) - 1)))
            continue
        for part in _HUMP.split(word):
            lower = part.casefold()
            if lower not in _IDLE:
                yield _stem(lower)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM and not word.endswith("ss"):
            stem = word[: -len(ending)]
            return stem[:-1] if stem[-1] == stem[-2] and len(stem) > _STEM else stem
    return word


class KeywordRanking:
    """Ranks tools by the words that they share with a question (BM25F).

    The words of the tools of the last call are remembered; a tool is recognised as the same object.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[ToolSpec, Mapping[str, float]]] = {}

    def of(self, question: str, tools: Sequence[ToolSpec]) -> Sequence[int]:
        """Return the places of the tools, the most relevant first; those of equal rank in their order."""
        counts = self._counted(tools)
        lengths = [sum(count.values()) for count in counts]
        average = sum(lengths) / max(1, len(lengths)) or 1.0
        spread = Counter(word for count in counts for word in count)
        wanted = set(words_of(question))

        def score(place: int) -> float:
            count = counts[place]
            rest = _SATURATION * (1 - _LENGTH + _LENGTH * lengths[place] / average)
            # Sorted, as a sum of floats depends on their order, and a set has another one in each process.
            return sum(
                log(1 + (len(tools) - spread[word] + 0.5) / (spread[word] + 0.5)) * count[word] / (count[word] + rest)
                for word in sorted(wanted & count.keys())
            )

        return ranked([score(place) for place in range(len(tools))])

    def _counted(self, tools: Sequence[ToolSpec]) -> Sequence[Mapping[str, float]]:
        known = self._known
        self._known = {id(tool): known.get(id(tool)) or (tool, _counted(tool)) for tool in tools}
        return [self._known[id(tool)][1] for tool in tools]


def ranked(scores: Sequence[float]) -> Sequence[int]:
    """Return the places of scores, the highest first; equal ones in their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def fitting(
    ranking: Sequence[int], tools: Sequence[ToolSpec], *, max_tokens: int, tokens: Callable[[ToolSpec], int]
) -> Sequence[ToolSpec]:
    """Return tools of `max_tokens` together at most: the first of the ranking that fit, in the order of `tools`."""
    kept: set[int] = set()
    for place in ranking:
        needed = tokens(tools[place])
        if needed <= max_tokens:
            kept.add(place)
            max_tokens -= needed
    return tuple(tool for place, tool in enumerate(tools) if place in kept)


def prose_of(tool: ToolSpec) -> str:
    """Return what a tool is for, as a text without the marks of a schema."""
    name = " ".join(_HUMP.sub(" ", word) for word in _WORD.findall(tool.name))
    details = (f"{parameter}: {text}" if text else parameter for parameter, text in _parameters(tool.parameters))
    return f"{name}: {tool.description}\n" + ", ".join(details)


def _counted(tool: ToolSpec) -> Mapping[str, float]:
    """Return the words of a tool, by how much they count."""
    found = Counter[str]()
    fields = [(NAME, tool.name), (DESCRIPTION, tool.description)]
    for name, text in _parameters(tool.parameters):
        fields += [(PARAMETERS, name), (DETAILS, text)]
    for weight, text in fields:
        for word in words_of(text):
            found[word] += weight  # type: ignore[assignment]  (a Counter adds up any numbers)
    return found


def _parameters(schema: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield the names of parameters, the values they can have, and their descriptions."""
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        described: Mapping[str, Json] = inner if isinstance(inner, Mapping) else {"description": ""}
        description, values = described.get("description"), described.get("enum")
        texts = [description, *(values if isinstance(values, list) else [])]
        yield name, " ".join(text for text in texts if isinstance(text, str))
