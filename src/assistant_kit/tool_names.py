"""Names for tools that a model API admits, each always the same and with a way back."""

import re
from collections import Counter
from collections.abc import Collection
from hashlib import sha256

NAME_LIMIT = 64  # characters; with the alphabet below the rule of OpenAI's API for function names
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_HASH = 8  # hexadecimal digits that tell two cut or repaired names apart


def model_names(names: Collection[str]) -> dict[str, str]:
    """Give each name one that a model API admits: its own, or else a repaired one, told apart by a hash on a clash.

    The result depends on the set of names and not on its order, so that a name keeps its meaning when a server
    lists its tools in another order.
    """
    wanted = {name: _legal(name) for name in names}
    claims = Counter(wanted.values())
    given = {name: name for name, legal in wanted.items() if name == legal}
    taken = set(given)
    for name in sorted(set(wanted) - taken):
        legal = wanted[name]
        if claims[legal] > 1 or legal in taken:
            marked = (_marked(legal, name, digits) for digits in range(_HASH, NAME_LIMIT))
            legal = next(candidate for candidate in marked if candidate not in taken)
        given[name] = legal
        taken.add(legal)
    return {name: given[name] for name in names}


def _legal(name: str) -> str:
    legal = _ILLEGAL.sub("_", name) or "_"
    return legal if len(legal) <= NAME_LIMIT else _marked(legal, name, _HASH)


def _marked(legal: str, name: str, digits: int) -> str:
    mark = "_" + sha256(name.encode(errors="surrogatepass")).hexdigest()[:digits]
    return legal[: NAME_LIMIT - len(mark)] + mark
