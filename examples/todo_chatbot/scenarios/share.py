"""What the rule-based model got right when it was last recorded: what was right stays right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from examples.todo_chatbot.scenarios.judge import Verdict

RECORD = Path(__file__).parent / "rule_model.txt"
_RIGHT, _WRONG = "right", "WRONG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which scenarios are right, by what is said in them: places in files move when others are added."""

    is_right: Mapping[str, bool]

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Self:
        """Take verdicts together."""
        return cls(is_right={_name(verdict): verdict.is_right for verdict in verdicts})

    @classmethod
    def read(cls, path: Path = RECORD) -> Self:
        """Read what is recorded."""
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        return cls(is_right={line[len(_RIGHT) + 1 :]: line.startswith(_RIGHT) for line in lines})

    def write(self, path: Path = RECORD) -> None:
        """Record it, with the share in the first line."""
        lines = [f"{_RIGHT if right else _WRONG} {name}" for name, right in sorted(self.is_right.items())]
        path.write_text("\n".join([str(self), *lines, ""]), encoding="utf-8")

    def worse_than(self, known: "Share") -> Sequence[str]:
        """Return what was right and is wrong now."""
        return tuple(name for name, right in self.is_right.items() if not right and known.is_right.get(name))

    def __str__(self) -> str:
        return f"right={sum(self.is_right.values())}/{len(self.is_right)}"


def _name(verdict: Verdict) -> str:
    scenario = verdict.played.scenario
    before = ", ".join(task.title for task in scenario.before)
    text = f"{scenario.group}: {' / '.join(scenario.say)}" + (f" ({before})" if before else "")
    return text.encode("unicode_escape").decode()
