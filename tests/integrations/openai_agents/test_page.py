"""The code of docs/openai-agents.md runs, and does what the page says."""

from collections.abc import Iterator

import anyio
import pytest
from agents import set_tracing_disabled

from examples.docs import openai_agents

pytestmark = pytest.mark.anyio
PRINTED = """\
200 Sunny.
['You are welcome.']
Hello. 4000
Hello again. 4000
2000 tokens are left, 5000 are needed
Rain.
Weather in Oslo? -> Sunny. ['weather']
Thank you. -> You are welcome. []
And tomorrow? -> Rain. []
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on asyncio: the SDK knows no other loop."""
    return "asyncio"


@pytest.fixture
def tracing() -> Iterator[None]:
    """Leave the SDK's own switch as it was."""
    yield
    set_tracing_disabled(disabled=False)


@pytest.mark.usefixtures("tracing")
async def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    with anyio.fail_after(30):
        await openai_agents.main()
    assert capsys.readouterr().out == PRINTED
