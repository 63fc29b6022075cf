"""The code that docs/models.md shows."""

import pytest

from assistant_kit import OpenAI, OpenAIChat

pytestmark = pytest.mark.anyio


async def test_models_are_made_by_name_and_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    # --8<-- [start:make]
    luna = OpenAI("gpt-5.6-luna")  # key from OPENAI_API_KEY
    local = OpenAIChat("qwen3", base_url="http://localhost:8080/v1", api_key="none")
    # --8<-- [end:make]
    for model in (luna, local):
        assert model.name.startswith("openai:")
        await model.aclose()
