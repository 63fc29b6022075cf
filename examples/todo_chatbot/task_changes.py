"""What is done for a sentence that changes tasks, step by step: changes, corrections of the last one, undoing it."""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TypeAlias

from assistant_kit.messages import Json
from assistant_kit.models.rule_model import Ask, Match, Result, Steps
from examples.todo_chatbot.meant_tasks import Task, meant, reason

WHAT_TO_ADD = "What shall I add to your list?"
NOT_REOPENED = "I cannot mark a task as open again. You can delete it and add it anew."
NOTHING_TO_CORRECT = "I do not know what to correct: please say it as a whole sentence."
_NOTHING_TO_UNDO = "There is no change that I could take back."
_CHANGING = ("add_task", "complete_task", "delete_task", "update_task")
_AND = re.compile(r",? and |, ?|; ?", re.IGNORECASE)
_VERB = re.compile(r"\A\S+(?: (?:out|up|off|down|away|through|with)\b)? ?", re.IGNORECASE)
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DATE = re.compile(
    r"(?:(?:on|by|at|until|before|for) )?"
    rf"(?:(?:next |this )?{_DAY}|today|tonight|tomorrow|(?:next|this) (?:week|month|year))",
    re.IGNORECASE,
)
WHEN = (
    rf"(?:(?:on|by|at|before|after|until|every|each|next|this|in|from) [^,]{{1,60}}?|(?:every |next |this )?{_DAY}"
    r"|today|tonight|tomorrow(?: (?:morning|noon|afternoon|evening|night))?)"
)
"""When something is to be done, as a regular expression; it is kept in the title as it was said."""

Arguments: TypeAlias = Callable[[Match, Task], Mapping[str, Json]]


def said(done: str, result: Result, task: Task | None = None) -> str:
    """Return what to say of a change: that it was made only when the tool says so."""
    if not result.ok:
        return f"That did not work: {reason(result)}."
    return done.format_map({"title": "it", "description": "", **(task or {}), **result.record})


def change(
    tool: str, done: str, action: str, arguments: Arguments = lambda _match, _task: {}
) -> Callable[[Match], Steps]:
    """Make the steps: find the tasks that are meant, then call the tool on each.

    `action` says what shall be done, with slots of the sentence: it is in the questions that are asked back.
    """

    def steps(match: Match) -> Steps:
        slots = {name: str(text).replace('"', "'") for name, text in match.slots.items()}
        found = yield from meant(match, match.text("what") or "it", action.format_map(slots))
        answers: list[str] = []
        for task in found.tasks:
            result = yield Ask(tool, {"task_id": task["id"], **arguments(match, task)})
            answers.append(said(done, result, task))
        return "\n".join([*answers, *found.unclear])

    return steps


def complete_what_was_done(match: Match) -> Steps:
    """Complete what somebody says they have done; when "bought milk" fits nothing, "milk" may."""
    what = match.text("what")
    found = yield from meant(match, what, "complete")
    if not found.tasks and (rest := _VERB.sub("", what)):
        found = yield from meant(match, rest, "complete")
    answers: list[str] = []
    for task in found.tasks:
        result = yield Ask("complete_task", {"task_id": task["id"]})
        answers.append(said(COMPLETED, result))
    return "\n".join([*answers, *found.unclear])


def add_each(match: Match) -> Steps:
    """Add several tasks that are named in one clause."""
    answers: list[str] = []
    for title in filter(None, _AND.split(match.text("titles"))):
        result = yield Ask("add_task", {"title": title})
        answers.append(said(ADDED, result))
    return "\n".join(answers)


def ask_for_name(match: Match) -> Steps:
    """Ask what a task shall be called, if there is the one that is meant."""
    found = yield from meant(match, match.text("what"), "change")
    if len(found.tasks) != 1 or "title" not in found.tasks[0]:
        return "\n".join(found.unclear) or "Please say what to change, and what it shall be."
    title = str(found.tasks[0]["title"]).replace('"', "'")
    return f'What shall I call "{title}"?'


def move(match: Match) -> Steps:
    """Put another day into the title of a task."""
    when = match.text("when")
    return change("update_task", CHANGED, "move to {when}", lambda _, task: {"title": _moved(task, when)})(match)


def _moved(task: Task, when: str) -> str:
    title = str(task.get("title", ""))
    on = f"on {when}" if re.match(_DAY, when, re.IGNORECASE) else when
    return _DATE.sub(on, title, count=1) if _DATE.search(title) else f"{title} {on}"


def correct(match: Match) -> Steps:
    """Put right what was changed last."""
    new = match.text("new")
    last = _last_change(match)
    if last is None or not new:
        return NOTHING_TO_CORRECT
    if last.tool in ("add_task", "update_task"):
        name = "description" if "title" not in last.arguments else "title"
        result = yield Ask("update_task", {"task_id": last.record["id"], name: new})
        return said(CHANGED if name == "title" else NOTED, result)
    return (yield from _instead(match, last, new))


def replace_words(match: Match) -> Steps:
    """Put other words into the title that was given last: "not Friday, Saturday"."""
    last = _last_change(match)
    old, new = match.text("old"), match.text("new")
    if last is None or last.tool in ("delete_task", "complete_task"):
        return (yield from correct(match))
    title = str(last.record.get("title", ""))
    if old.casefold() not in title.casefold():
        return NOTHING_TO_CORRECT
    title = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, title, flags=re.IGNORECASE)
    result = yield Ask("update_task", {"task_id": last.record["id"], "title": title})
    return said(CHANGED, result)


def undo(match: Match) -> Steps:
    """Take back what was changed last, as far as the tools can."""
    last = _last_change(match)
    if last is None:
        return _NOTHING_TO_UNDO
    if last.tool == "complete_task":
        return NOT_REOPENED
    if last.tool == "add_task":
        result = yield Ask("delete_task", {"task_id": last.record["id"]})
        return said(DELETED, result)
    if last.tool == "delete_task":
        return (yield from _added_again(last.record))
    old = _before(match, last)
    if old is None:
        return "I do not know what it was before: please say what it shall be."
    result = yield Ask("update_task", {"task_id": last.record["id"], **old})
    return said("Changed back: it is called {title}.", result)


def add_again(match: Match) -> Steps:
    """Add a task again that was deleted."""
    deleted = next((one for one in reversed(match.earlier) if one.ok and one.tool == "delete_task"), None)
    if deleted is None:
        return WHAT_TO_ADD
    return (yield from _added_again(deleted.record))


def recall(match: Match) -> Iterator[str]:
    """Tell what was changed last; from what is known of this conversation, without a tool."""
    last = _last_change(match)
    if last is None:
        yield "I have changed nothing in this conversation."
        return
    verb = {"add_task": "added", "complete_task": "completed", "delete_task": "deleted", "update_task": "changed"}
    yield f"The last thing was: I {verb[last.tool]} {last.record.get('title', 'a task')}."


def _instead(match: Match, last: Result, new: str) -> Steps:
    """Do to another task what was done to the wrong one, and take that back where it can be."""
    verb, done = ("delete", DELETED) if last.tool == "delete_task" else ("complete", COMPLETED)
    found = yield from meant(match, new, verb)
    answers: list[str] = []
    for task in found.tasks:
        result = yield Ask(last.tool, {"task_id": task["id"]})
        answers.append(said(done, result))
    if found.tasks and last.tool == "delete_task":
        answers.append((yield from _text_of(_added_again(last.record))))
    elif found.tasks:
        answers.append(f"{last.record.get('title')} stays done. {NOT_REOPENED}")
    return "\n".join([*answers, *found.unclear])


def _text_of(steps: Steps) -> Generator[Ask, Result, str]:
    return str((yield from steps))


def _added_again(task: Mapping[str, Json]) -> Steps:
    details = {"description": task["description"]} if task.get("description") else {}
    result = yield Ask("add_task", {"title": task["title"], **details})
    was_done = " It had been done; now it is open." if task.get("done") else ""
    return said("Added again: {title}.", result) + (was_done if result.ok else "")


def _last_change(match: Match) -> Result | None:
    changes = [result for result in match.earlier if result.ok and result.tool in _CHANGING and "id" in result.record]
    return changes[-1] if changes else None


def _before(match: Match, last: Result) -> Mapping[str, Json] | None:
    """Return what a change has changed, as it was seen before."""
    changed = [name for name in ("title", "description") if name in last.arguments]
    for task in _seen(match.earlier[: match.earlier.index(last)]):
        if task.get("id") == last.record["id"]:
            return {name: task[name] for name in changed}
    return None


def _seen(results: Sequence[Result]) -> Iterator[Task]:
    """Return the tasks that results tell of, the newest first."""
    for result in reversed(results):
        if result.ok:
            yield from result.record.get("tasks", (result.record,))


ADDED = "Added: {title}."
COMPLETED = "Done: {title}."
DELETED = "Deleted: {title}."
CHANGED = "Changed: it is now called {title}."
NOTED = "Noted for {title}: {description}"
