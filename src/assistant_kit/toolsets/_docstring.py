"""What a docstring says of a function and of its parameters."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_OF_PARAMETERS = ("Args", "Arguments", "Parameters", "Keyword Args", "Keyword Arguments", "Other Parameters")
_OTHERS = ("Returns", "Raises", "Yields", "Examples?", "Notes?", "See Also", "Warnings?", "Warns", "References", "Todo")
_HEADING = re.compile(rf"^({'|'.join((*_OF_PARAMETERS, *_OTHERS))}):?\s*$")
_PARAMETER = re.compile(r"^\*{0,2}(\w+(?:,\s*\w+)*)\s*(?:\([^)]*\))?\s*(?::\s*(.*))?$")
_SPHINX = re.compile(r"^:(?:param\s+(?:[^:]*\s)?(\w+)|\w+[^:]*)\s*:\s*(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """The description of a function, and of its parameters by name."""

    summary: str
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def documented(docstring: str) -> Documented:
    """Read a docstring (as `inspect.getdoc` gives it) in Google, NumPy or Sphinx style."""
    summary: list[str] = []
    sections: dict[str, list[str]] = {}
    body = summary
    for line in docstring.splitlines():
        if heading := _HEADING.match(line):
            body = sections.setdefault(heading[1], [])
        elif line.startswith(":") and _SPHINX.match(line):
            body = sections.setdefault(":", [])
            body.append(line)
        else:
            body.append(line)
    parameters = _sphinx(sections.get(":", ()))
    for title in _OF_PARAMETERS:
        parameters |= _listed(sections.get(title, []))
    return Documented(summary="\n".join(summary).strip(), parameters=parameters)


def _listed(body: list[str]) -> dict[str, str]:
    numpy = bool(body) and set(body[0].strip()) == {"-"}
    lines = [line for line in body[numpy:] if line.strip()]
    base = _indent(lines[0]) if lines else 0
    found: dict[str, list[str]] = {}
    texts: list[str] = []
    for line in lines:
        named = _PARAMETER.match(line.strip()) if _indent(line) == base else None
        if named is None:
            texts.append(line.strip())
        else:
            # What follows the colon is the type in NumPy's style and the description in Google's.
            texts = [] if numpy or not named[2] else [named[2].strip()]
            found |= dict.fromkeys(re.split(r",\s*", named[1]), texts)
    return _joined(found)


def _sphinx(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    texts: list[str] = []
    for line in lines:
        if named := _SPHINX.match(line):
            texts = [named[2].strip()]
            if named[1]:
                found[named[1]] = texts
        else:
            texts.append(line.strip())
    return _joined(found)


def _joined(found: dict[str, list[str]]) -> dict[str, str]:
    joined = {name: " ".join(text for text in texts if text) for name, texts in found.items()}
    return {name: text for name, text in joined.items() if text}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
