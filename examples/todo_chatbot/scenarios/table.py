"""The table of a run: what is right in each group, and what was wrong with the rest."""

from collections.abc import Sequence

from examples.todo_chatbot.scenarios.judge import FAULTS, Verdict

_TITLES = ("group", "right", "of", *FAULTS)


def table(verdicts: Sequence[Verdict]) -> str:
    """Return the table in Markdown. A scenario may be wrong in several ways."""
    groups = dict.fromkeys(verdict.played.scenario.group for verdict in verdicts)
    rows = [
        _row(group, [verdict for verdict in verdicts if verdict.played.scenario.group == group]) for group in groups
    ]
    rows.append(_row("all", verdicts))
    width = max(len(row[0]) for row in rows)
    lines = [" | ".join((row[0].ljust(width), *(cell.rjust(7) for cell in row[1:]))) for row in (_TITLES, *rows)]
    rule = " | ".join(("-" * width, *("-" * 6 + ":" for _ in _TITLES[1:])))
    return "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))


def figures(verdicts: Sequence[Verdict]) -> str:
    """Return the last line of a run."""
    return f"right={sum(verdict.is_right for verdict in verdicts)}/{len(verdicts)}"


def _row(name: str, verdicts: Sequence[Verdict]) -> Sequence[str]:
    right = sum(verdict.is_right for verdict in verdicts)
    faults = [sum(fault in verdict.faults for verdict in verdicts) for fault in FAULTS]
    return [name, str(right), str(len(verdicts)), *map(str, faults)]
