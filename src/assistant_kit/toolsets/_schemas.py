"""Values checked by the JSON schema of somebody else, which may be wrong, or be written to do harm.

Nothing is fetched from a network. Regular expressions are matched by Rust's engine, which takes linear time. A check
takes a bounded number of steps. A schema that cannot be used for any of these reasons checks nothing: the server that
wrote it has the last word anyway.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import islice
from typing import Any, TypeAlias, cast

from jsonschema import Draft202012Validator, exceptions, validators
from jsonschema.exceptions import ValidationError
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as NoMatch
from referencing import Registry

from assistant_kit.errors import InvalidArguments
from assistant_kit.messages import Json, JsonObject
from assistant_kit.tool_schema.acceptable import DEEPEST, with_own_references
from assistant_kit.tool_schema.mended import cut, mended

_MOST_STEPS = 20_000
"""Keywords that are looked at in one check, about half a second. A schema of 40 short definitions can ask for 2^40."""
_MOST_NESTED = 60
"""Keywords within each other. Python's limit comes at about 200, and where Rust code is called it ends the program."""
_MOST_PROBLEMS = 5
_LONGEST = 300  # characters of one problem
_MATCHERS = 1_000  # patterns whose engine is kept

# jsonschema has types for a part of itself only.
_extend = cast("Any", validators).extend
_best_match = cast("Any", exceptions).best_match

Problems: TypeAlias = Iterator[ValidationError]
Rule: TypeAlias = Callable[[Any, Any, Any, Any], Problems]


class _TooMuch(Exception):
    """A check takes more steps than any honest schema asks for."""


class SchemaCheck:
    """A check of values by one schema, made ready at its first use."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._validator: Any = None
        self._left = 0
        self._depth = 0

    def fitting(self, arguments: JsonObject) -> JsonObject:
        """Return arguments as the tool takes them; raise InvalidArguments, in words for the model, when it does not.

        An optional one that is null where the schema knows no null was not given: models say so in that way.
        """
        problems = self.problems(arguments)
        if not problems:
            return arguments
        given = self._without_nulls(arguments)
        if len(given) < len(arguments) and not self.problems(given):
            return given
        message = f"The arguments do not fit the tool: {'; '.join(problems)}. Correct them and call it again."
        raise InvalidArguments(message)

    def problems(self, value: Json) -> list[str]:
        """Return what is wrong with a value, each with its place, at most five; nothing when nobody can tell."""
        return [_said(error) for error in self._errors(value, _MOST_PROBLEMS)]

    def _errors(self, value: Json, most: int | None = None) -> list[ValidationError]:
        if self._validator is None:
            self._validator = self._made()
        self._left = _MOST_STEPS
        try:
            return list(islice(self._validator.iter_errors(value), most))
        except _TooMuch:
            return []

    def _without_nulls(self, arguments: JsonObject) -> JsonObject:
        required = self._validator.schema.get("required", ())  # whatever is malformed in the original is not in it
        wrong = {error.absolute_path[0] for error in self._errors(arguments) if len(error.absolute_path) == 1}
        return {
            name: value
            for name, value in arguments.items()
            if value is not None or name in required or name not in wrong
        }

    def _made(self) -> Any:
        """Return the check; of what is malformed in the schema, or leads elsewhere, it knows nothing."""
        schema = with_own_references(mended(_of_one_draft(cut(self._schema, DEEPEST))))
        every = {**Draft202012Validator.VALIDATORS, **_RULES}
        rules = {name: partial(self._counted, rule) for name, rule in every.items()}
        registry: Registry[Any] = Registry()  # it retrieves nothing; jsonschema's own would ask the network
        return _extend(Draft202012Validator, rules)(schema, registry=registry)

    def _counted(self, rule: Rule, validator: Any, expected: Any, value: Any, schema: Any) -> Problems:
        self._left -= 1
        if self._left < 0 or self._depth >= _MOST_NESTED:
            raise _TooMuch
        self._depth += 1
        try:
            yield from rule(validator, expected, value, schema) or ()
        finally:
            self._depth -= 1


def _of_one_draft(value: Any) -> Any:
    """Leave out every `$schema`: by one inside of a schema, jsonschema would go on without the rules below."""
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        return {
            key: _of_one_draft(inner) for key, inner in known.items() if key != "$schema" or not isinstance(inner, str)
        }
    return [_of_one_draft(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


def _pattern(validator: Any, pattern: Any, value: Any, schema: Any) -> Problems:
    del validator, schema
    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _named_by_pattern(validator: Any, patterns: Any, value: Any, schema: Any) -> Problems:
    del schema
    if isinstance(value, dict):
        for pattern, inner in patterns.items():
            for name, one in cast("dict[str, Any]", value).items():
                if _matches(pattern, name, unknown=False):
                    yield from validator.descend(one, inner, path=name, schema_path=pattern)


def _additional(validator: Any, allowed: Any, value: Any, schema: Any) -> Problems:
    if not isinstance(value, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, one in cast("dict[str, Any]", value).items():
        if name in known or any(_matches(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"there is no {name!r}")
        else:
            yield from validator.descend(one, allowed, path=name)


def _unchecked(validator: Any, expected: Any, value: Any, schema: Any) -> Problems:
    """Check nothing: what was evaluated already takes Python's regular expressions, and steps nobody counts."""
    del validator, expected, value, schema
    yield from ()


_RULES: Mapping[str, Rule] = {
    "pattern": _pattern,
    "patternProperties": _named_by_pattern,
    "additionalProperties": _additional,
    "unevaluatedProperties": _unchecked,
    "unevaluatedItems": _unchecked,
}


def _matches(pattern: str, text: str, *, unknown: bool = True) -> bool:
    """Tell whether a pattern is found in a text; `unknown` for a pattern that Rust's engine does not know."""
    matcher = _matcher(pattern)
    if matcher is None:
        return unknown
    try:
        matcher.validate_python(text)
    except NoMatch:
        return False
    return True


@lru_cache(_MATCHERS)
def _matcher(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except PatternError:
        return None


def _said(error: ValidationError) -> str:
    """Say what is wrong, and where; of a union what is wrong with the branch that comes nearest."""
    nearest = _best_match([error])
    place = ".".join(str(step) for step in nearest.absolute_path) or "arguments"
    words: str = nearest.message
    return f"{place}: {words if len(words) <= _LONGEST else words[:_LONGEST] + '…'}"
