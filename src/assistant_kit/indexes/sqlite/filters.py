"""A filter as a condition of SQL."""

import json
from collections.abc import Sequence

from assistant_kit.indexes.sqlite.connection import Binding
from assistant_kit.protocols.search_index import Label, Where

_LABEL = (
    "EXISTS (SELECT 1 FROM labels WHERE labels.owner = passages.owner"
    " AND labels.name = ? AND labels.value = ? AND labels.passage = passages.passage)"
)


def condition(where: Where | None) -> tuple[str, Sequence[Binding]]:
    """Return what to put behind a condition on `passages`, beginning with AND, and its bindings."""
    parts: list[str] = []
    bindings: list[Binding] = []
    if where is None:
        return "", bindings
    bounds = (("source =", where.source), ("at >=", where.since), ("at <=", where.until))
    for comparison, value in bounds:
        if value is not None:
            parts.append(f" AND passages.{comparison} ?")
            bindings.append(value)
    for name, value in where.labels.items():
        parts.append(f" AND {_LABEL}")
        bindings += [name, label_value(value)]
    return "".join(parts), bindings


def label_value(value: Label) -> str:
    """Return a label's value as the text that is kept of it: another one for each type."""
    return json.dumps(value, ensure_ascii=False)
