"""Tools as OpenAI's models read them: each as a TypeScript type.

Character by character what OpenAI's own renderer of the Harmony format writes (https://github.com/openai/harmony,
`json_schema_to_typescript`), where that says what a schema says. References, `anyOf`, `allOf`, constants, enumerations
of numbers and types for additional properties it writes as `any` or not at all; they are written out here, because a
provider that shows them to its model has to write them too. So the text is as long as OpenAI's or longer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from assistant_kit.tool_spec import ToolSpec

Schema: TypeAlias = Mapping[str, Any]

DEEPEST = 60
"""Levels of a schema that are written; below them everything is `any`."""
MOST_NODES = 5_000
"""Schemas within a schema that are written: definitions that refer to each other could be unfolded without end."""

_ANY = "any"
_NAMES = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}


def rendered(tool: ToolSpec) -> str:
    """Return a tool as its model reads it, without the semicolon at its end."""
    described = [f"// {line}" for line in _lines(tool.description)]
    return "\n".join([*described, f"type {tool.name} = (_: {_Writer(tool.parameters).written()}) => any"])


class _Writer:
    """Writes one schema. `indent` is what stands before each line."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._nodes = 0
        self._depth = 0
        self._open: list[str] = []

    def written(self) -> str:
        return self._type(self._root, "")

    def _type(self, schema: object, indent: str) -> str:
        if not isinstance(schema, Mapping) or self._nodes == MOST_NODES or self._depth == DEEPEST:
            return _ANY
        self._nodes += 1
        self._depth += 1
        text = self._written(cast("Schema", schema), indent)
        self._depth -= 1
        return text

    def _written(self, known: Schema, indent: str) -> str:
        variants = _list(known.get("oneOf"))
        if variants is not None:
            return "".join(f"\n{indent} | {self._variant(variant, indent)}" for variant in variants)
        kind = known.get("type")
        kinds = [kind] if isinstance(kind, str) else _list(kind) or []
        if kinds:
            return " | ".join(self._of_kind(str(one), known, indent) for one in kinds)
        return self._without_kind(known, indent)

    def _of_kind(self, kind: str, schema: Schema, indent: str) -> str:
        if kind == "object":
            return self._object(schema, indent)
        if kind == "array":
            return f"{self._type(schema['items'], indent)}[]" if "items" in schema else "Array<any>"
        return _values(schema) if kind != "null" and _values(schema) else _NAMES.get(kind, _ANY)

    def _without_kind(self, schema: Schema, indent: str) -> str:
        reference: object = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(reference, indent)
        for keyword, sign in (("anyOf", " | "), ("allOf", " & ")):
            parts = _list(schema.get(keyword))
            if parts:
                return sign.join(self._type(part, indent) for part in parts)
        return self._object(schema, indent) if "properties" in schema else _values(schema) or _ANY

    def _referred(self, reference: str, indent: str) -> str:
        """Write what is referred to; `any` where it refers to itself, or to nothing in this schema."""
        if reference in self._open or not reference.startswith("#"):
            return _ANY
        found: object = self._root
        for step in reference.split("/")[1:]:
            found = _mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
        self._open.append(reference)
        text = self._type(found, indent)
        self._open.pop()
        return text

    def _object(self, schema: Schema, indent: str) -> str:
        described: object = schema.get("description")
        head = f"{indent}// {described}\n" if isinstance(described, str) else ""
        required = _list(schema.get("required")) or ()
        properties = _mapping(schema.get("properties")).items()
        body = "".join(self._property(name, one, indent, optional=name not in required) for name, one in properties)
        more = _mapping(schema.get("additionalProperties"))
        if more:
            body += f"{indent}[key: string]: {self._type(more, f'{indent}    ')},\n"
        return f"{head}{{\n{body}{indent}}}"

    def _property(self, name: str, value: object, indent: str, *, optional: bool) -> str:
        schema = _mapping(value)
        head = "".join(f"{indent}{line}\n" for line in _comments(schema))
        mark = f"{indent}{name}{'?' if optional else ''}:"
        variants = _list(schema.get("oneOf"))
        default = _default(schema)
        if variants is None:
            kind = _nullable(schema, self._type(value, f"{indent}    "))
            return f"{head}{mark} {kind},{f' // {default}' if default else ''}\n"
        head += f"{indent}// {default}\n" if default else ""
        told: object = schema.get("description")
        lines = [f"{indent} | {self._variant(one, indent, told=told)}" for one in variants]
        return "\n".join([f"{head}{mark}", *lines, f"{indent},\n"])

    def _variant(self, variant: object, indent: str, *, told: object = None) -> str:
        """Write one of several types, and what is said of it unless that was `told` above."""
        schema = _mapping(variant)
        kind = _nullable(schema, self._type(variant, f"{indent}   "))
        described: object = schema.get("description")
        remarks = [described] if isinstance(described, str) and described != told else []
        default = _default(schema)
        remarks += [default] if default else []
        return f"{kind} // {' '.join(remarks)}" if remarks else kind


def _comments(schema: Schema) -> Iterator[str]:
    """Return what stands above a property: its title, its description, examples."""
    title: object = schema.get("title")
    if isinstance(title, str):
        yield f"// {title}"
        yield "//"
    described: object = schema.get("description")
    if isinstance(described, str):
        yield f"// {described}"
    examples = _list(schema.get("examples"))
    if examples:
        yield "// Examples:"
        yield from (f'// - "{example}"' for example in examples if isinstance(example, str))


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    default: object = schema["default"]
    if isinstance(default, str):
        return f"default: {default}" if _list(schema.get("enum")) else f'default: "{default}"'
    return f"default: {compact(default)}"


def _nullable(schema: Schema, kind: str) -> str:
    return f"{kind} | null" if schema.get("nullable") is True and "null" not in kind else kind


def _values(schema: Schema) -> str:
    """Return the values that a schema allows, as a union; nothing when it does not list them."""
    values = [schema["const"]] if "const" in schema else _list(schema.get("enum")) or []
    return " | ".join(f'"{value}"' if isinstance(value, str) else compact(value) for value in values)


def _mapping(value: object) -> Schema:
    """Return a JSON object; an empty one for anything else."""
    return cast("Schema", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object] | None:
    """Return a JSON array as a list; None for anything else."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(cast("Sequence[object]", value))
    return None


def _lines(text: str) -> list[str]:
    """Part a text at its line breaks as the renderer does: what follows the last one is no line."""
    lines = text.removesuffix("\n").split("\n") if text else []
    return [line.removesuffix("\r") for line in lines]


def compact(value: object) -> str:
    """Return JSON without spaces, as providers show it to their models."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    """Return a mapping or a sequence as one that JSON knows."""
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else list(value)
