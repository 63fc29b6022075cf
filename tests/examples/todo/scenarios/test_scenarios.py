"""The rule-based model on all scenarios, through the real assistant, tools and database: it gets no worse."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from assistant_kit import WindowSettings
from examples.todo_chatbot.rules import todo_model
from examples.todo_chatbot.scenarios.__main__ import compared, main, played
from examples.todo_chatbot.scenarios.honesty import Happened
from examples.todo_chatbot.scenarios.judge import Played, Turn, judged
from examples.todo_chatbot.scenarios.scenario import DATA, Scenario, read_scenarios
from examples.todo_chatbot.scenarios.share import Share
from examples.todo_chatbot.scenarios.world import FOREIGN, opened
from examples.todo_chatbot.services.task_service import TaskView
from tests.openai_server import Answer, Call, OpenAIServer

GROUPS = 12
LEAST = 10  # sentences in a group


@pytest.fixture(scope="module")
def scenarios() -> tuple[Scenario, ...]:
    return read_scenarios()


def test_there_are_twelve_groups_of_ten_sentences_or_more(scenarios: tuple[Scenario, ...]) -> None:
    groups = Counter(scenario.group for scenario in scenarios)
    assert len(groups) == len(list(DATA.glob("*.toml"))) == GROUPS
    assert min(groups.values()) >= LEAST


def test_what_was_recorded_as_right_is_right_and_what_is_better_is_recorded(scenarios: tuple[Scenario, ...]) -> None:
    verdicts = anyio.run(played, todo_model(), scenarios)
    share, known = Share.of(verdicts), Share.read()
    assert share.worse_than(known) == ()
    assert share == known, "run ./scripts/scenarios --record"
    assert [verdict.played.scenario.name for verdict in verdicts if "honesty" in verdict.faults] == []


@pytest.mark.anyio
async def test_scenarios_go_the_same_way_on_both_event_loops(tmp_path: Path, scenarios: tuple[Scenario, ...]) -> None:
    with anyio.fail_after(30):
        async with opened(todo_model(), tmp_path, window=WindowSettings()) as world:
            for scenario in scenarios:
                if scenario.number == 1:
                    assert judged(await world.play(scenario)).is_right


def test_a_share_is_read_as_it_was_written_and_knows_what_became_worse(tmp_path: Path) -> None:
    before = Share(is_right={"a": True, "b": False})
    before.write(tmp_path / "share.txt")
    assert Share.read(tmp_path / "share.txt") == before
    assert str(before) == "right=1/2"
    assert Share(is_right={"a": False, "b": False, "c": False}).worse_than(before) == ("a",)


def test_what_became_worse_is_told_and_not_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = judged(Played(scenario=scenario_of("add tea"), turns=(turn_with("", ()),), places={}))
    path = tmp_path / "share.txt"
    Share(is_right={}).write(path)
    assert compared([wrong], record=False, path=path) == ()
    assert Share.read(path).is_right == {}
    assert compared([wrong], record=True, path=path) == ()
    (name,) = Share.read(path).is_right
    Share(is_right={name: True}).write(path)
    assert compared([wrong], record=True, path=path) == (name,)
    assert Share.read(path).is_right == {name: True}
    assert name in capsys.readouterr().out


def scenario_of(text: str) -> Scenario:
    return Scenario.model_validate({"group": "made up", "number": 1, "say": text, "after": ["tea"]})


def turn_with(answer: str, after: Sequence[TaskView]) -> Turn:
    return Turn(said="add tea", answer=answer, happened=Happened(asked="add tea", before=(), after=after))


def test_a_server_without_the_name_of_a_model_is_a_mistake() -> None:
    with pytest.raises(SystemExit):
        main(["--base-url", "http://127.0.0.1:9/v1"])


def test_the_command_tells_what_is_wrong_and_ends_with_the_share(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "plain 1", "--verbose"]) == 0
    shown = capsys.readouterr().out
    assert "-- plain 1: right" in shown
    assert "was right before" not in shown
    assert shown.splitlines()[-1].startswith("right=")
    assert main(["--only", "no such group"]) == 2


def test_a_model_of_a_compatible_server_is_judged_by_the_same_table(capsys: pytest.CaptureFixture[str]) -> None:
    with OpenAIServer() as server:
        server.script([Answer(tool_calls=(Call("add_task", {"title": "milk"}),)), Answer("I added milk.")])
        arguments = ["--only", "polite 1", "--base-url", server.base_url, "--model", "local", "--window", "4096"]
        assert main([*arguments, "--api-key-env", "TODO_NO_SUCH_KEY"]) == 0
        asked = server.requests[0].body
        assert asked["model"] == "local"
    shown = capsys.readouterr().out
    assert not any(title in shown for title in FOREIGN)
    assert "-- polite 10: WRONG" in shown
    assert shown.splitlines()[-1].startswith("right=1/")
