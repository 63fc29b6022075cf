"""Tool schemas in fewer tokens: the same values are valid, and every description is still there.

What goes: titles that repeat a name, definitions that are not used, references where the definition itself takes less
room, keywords that say what holds anyway, the white space of docstrings. A union with null becomes a list of types.
Nothing is written that strict mode (platform.openai.com/docs/guides/structured-outputs) would refuse.
"""

from assistant_kit.tool_schema.minify import minified, minified_tool

__all__ = ["minified", "minified_tool"]
