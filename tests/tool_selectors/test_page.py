"""What docs/tool-selection.md shows."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from assistant_kit import Assistant, Settings, WindowSettings, tool
from assistant_kit.context import Context
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_schema import minified, minified_tool
from assistant_kit.tool_selectors.embedding import EmbeddingSelector
from assistant_kit.tool_selectors.keyword import KeywordSelector
from assistant_kit.tool_spec import ToolSpec
from tests.tool_selectors.catalogue import CATALOGUE
from tests.tool_selectors.mcp_schemas import SCHEMAS


def catalogue() -> list[Callable[..., Any]]:
    def look_up(query: str) -> str:
        return query

    return [tool(name=spec.name, description=spec.description)(look_up) for spec in CATALOGUE]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["by default", "keyword", "embedding"])
async def test_a_small_window_offers_the_tools_that_bear_on_the_question(kind: str) -> None:
    tools, embedder = catalogue(), HashingEmbedder(1024)
    with anyio.fail_after(10), ScriptedModel(["It is on its way."]) as model:
        # --8<-- [start:use]
        settings = Settings(window=WindowSettings(max_tokens=8_000, reserved_output=2_000, tool_share=0.5))
        context = Context(token_counter=UpperBound(), tool_selector=EmbeddingSelector(embedder))
        # --8<-- [end:use]
        if kind != "embedding":
            selector = KeywordSelector() if kind == "keyword" else None
            context = Context(token_counter=UpperBound(), tool_selector=selector)
        assistant = Assistant(model, tools=tools, settings=settings, context=context)
        await assistant.run("Where is my parcel? Its tracking number is 1Z999.")
    offered = [spec.name for spec in model.requests[0].tools if isinstance(spec, ToolSpec)]
    assert "track_shipment" in offered
    assert 1 < len(offered) < len(tools)


def test_a_schema_is_minified() -> None:
    schema = SCHEMAS["search_files"]
    # --8<-- [start:minified]
    shorter = minified(schema)
    # --8<-- [end:minified]
    assert shorter == {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "pattern": {"type": "string"},
            "exclude_patterns": {"type": ["array", "null"], "items": {"type": "string"}},
            "max_results": {"type": ["integer", "null"]},
        },
        "required": ["path", "pattern"],
    }
    assert [minified_tool(spec) for spec in CATALOGUE] == list(CATALOGUE)
