"""The command behind scripts/drill."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Locator

from tests.examples.web.drill.faults import FAULTS, WORDS, Fault, Place, Provider
from tests.examples.web.system import answering, running_system
from tests.examples.web.whole.visit import browsing, visiting
from tests.openai_server import OpenAIServer

PATIENCE = 90.0
"""Seconds that a turn has to come to an end."""
_NOTES = (
    "#connection:not([hidden]), #problem:not([hidden]), .turn:last-of-type :is(.note:not([hidden]), .remark, .tool)"
)
_LISTEN = """(places) => {
    window.said = [];
    const part = (card, name) => card.querySelector(`[data-field="${name}"]`).textContent.trim();
    const textOf = (one) => (
        one.matches(".tool") ? `${part(one, "tool")}: ${part(one, "outcome")}` : one.textContent.trim()
    );
    setInterval(() => {
        for (const text of [...document.querySelectorAll(places)].map(textOf)) {
            if (text && !window.said.includes(text)) window.said.push(text);
        }
    }, 20);
}"""
"""Lets the page write down what it says; until it is loaded again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a fault: what the page said, how the turn ended, and what was wrong with that."""

    fault: str
    said: Sequence[str]
    status: str
    seconds: float
    wrong: Sequence[str]


def drilled(place: Place, fault: Fault, number: int) -> Outcome:
    """Let a fault happen while somebody asks something, and see what the page says."""
    text = f"Message {number}: {fault.name}"
    began = time.monotonic()
    fault.prepare(place)
    turn = place.visit.say(text)
    place.visit.page.evaluate(_LISTEN, _NOTES)
    fault.happen(place, turn)
    status = _watched(place, turn)
    said: list[str] = place.visit.page.evaluate("window.said")
    fault.mend(place)
    _well(place)
    wrong = list(_wrong(place, fault, turn, text, status, said))
    return Outcome(fault=fault.name, said=said, status=status, seconds=time.monotonic() - began, wrong=wrong)


def _watched(place: Place, turn: Locator) -> str:
    """Wait until the turn is over, and return how it ended."""
    patience_ends = time.monotonic() + PATIENCE
    while time.monotonic() < patience_ends:
        status = turn.get_attribute("data-status") or ""
        if status in ("completed", "failed", "cancelled"):
            place.visit.page.wait_for_timeout(100)  # the page writes down what it says at the end
            return status
        place.visit.page.wait_for_timeout(50)
    return "not over"


def _well(place: Place) -> None:
    """Wait until every part answers again."""
    for child in place.system.children:
        child.wait()


def _wrong(place: Place, fault: Fault, turn: Locator, text: str, status: str, said: Sequence[str]) -> Sequence[str]:
    wrong: list[str] = []
    if status not in fault.wanted:
        wrong.append(f"ended as {status}")
    if fault.says and not any(fault.says in one for one in said):
        wrong.append(f"the page did not say {fault.says!r}")
    shown = [part.strip() for part in turn.locator(".answer").all_inner_texts()]
    if status == "completed" and shown != [WORDS]:
        wrong.append(f"shown: {shown}")
    place.visit.page.reload()
    kept = place.visit.page.locator(".turn").last
    if kept.locator('[data-field="said"]').inner_text() != text:
        wrong.append("what was said is lost")
    if (kept.get_attribute("data-status") or "") != status:
        wrong.append(f"after a reload: {kept.get_attribute('data-status')}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/drill", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="faults that have it in their name")
    asked = parser.parse_args()
    provider = Provider()
    outcomes: list[Outcome] = []
    with (
        TemporaryDirectory() as folder,
        OpenAIServer(script=provider.reply) as server,
        running_system(Path(folder) / "data", orchestrators=2, postgres=True, told=answering(server)) as system,
        browsing() as browser,
        visiting(browser, system.url, "Ann") as visit,
    ):
        place = Place(system=system, provider=provider, server=server, visit=visit)
        for number, fault in enumerate([fault for fault in FAULTS if asked.only in fault.name], 1):
            outcomes.append(drilled(place, fault, number))
            _tell(outcomes[-1])
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    sys.stdout.write(f"faults={len(outcomes)} wrong={wrong}\n")
    return int(bool(wrong))


def _tell(outcome: Outcome) -> None:
    lines = [f"{outcome.fault}: {outcome.status} after {outcome.seconds:.1f} s"]
    lines += [f"    the page said: {text}" for text in outcome.said]
    lines += [f"    WRONG: {text}" for text in outcome.wrong]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
