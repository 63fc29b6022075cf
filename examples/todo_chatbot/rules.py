"""What the rule-based model understands of tasks, for the time without a language model."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

from assistant_kit import Rule, RuleModel
from assistant_kit.models.rule_model import Answer, Ask, Match, Result, Steps

HELP = """I keep your task list. You can say, for example:
- add milk to my list
- what is on my list?
- complete the milk task
- rename milk to oat milk
- delete task 2
Without a language model I understand plain sentences like these and not much more."""

_FILLER = (
    "please", "kindly", "ok", "okay", "hey", "(thanks|thank you) [a lot]", "for me", "(can|could|would|will) you",
    "I (want|need|would like) you to", "I'd like you to", "also",
)  # fmt: skip
_SDK_PREFIX = re.compile(r"Error executing tool \w+: ")
_SMALL_WORDS = {"the", "a", "an", "my", "task", "tasks", "todo", "one", "about", "to", "item"}

_A_TASK = "(task|todo|item|reminder)"
_TASKS = "[to-do|todo|task] (tasks|todos|list|items|task list)"
_KIND = "open|done|pending|remaining|completed|finished|unfinished"
_DETAIL = "(description|note|details)"
_ON_MY_LIST = "[(to|on|in|from|off) (my|the) [(task|todo|to-do|shopping)] (list|tasks|todos)]"

Task: TypeAlias = Mapping[str, Any]
Found: TypeAlias = Generator[Ask, Result, Task | str]
"""Looks for the task that is meant: gives the task, or what to say when it is not clear."""


def todo_model() -> RuleModel:
    """Return the model for the todo tools."""
    return RuleModel(RULES, fallback=f"I did not understand that. {HELP}", filler=_FILLER, name="todo-rules")


def _failed(_match: Match, result: Result) -> Answer:
    return f"That did not work: {_reason(result)}."


def _reason(result: Result) -> str:
    text = _SDK_PREFIX.sub("", result.text)
    return f"nobody can tell whether it took effect ({text})" if result.outcome == "unknown" else text


def _said(done: str, result: Result) -> str:
    done = done.format_map({"title": "it", "description": "", **result.record})
    return done if result.ok else f"That did not work: {_reason(result)}."


def _shown(task: Task) -> str:
    done = " (done)" if task["done"] else ""
    description = f" - {task['description']}" if task["description"] else ""
    return f"{task['id']}. {task['title']}{done}{description}"


def _listed(_match: Match, result: Result) -> Answer:
    tasks: Sequence[Task] = result.record.get("tasks", ())
    kind = {"open": "open ", "done": "finished "}.get(str(result.arguments.get("status")), "")
    if not tasks:
        return f"You have no {kind}tasks."
    many = f"{len(tasks)} {kind}task{'s' if len(tasks) > 1 else ''}"
    return "\n".join([f"You have {many}:", *(_shown(task) for task in tasks)])


def _wanted_list(match: Match) -> dict[str, str]:
    words = set(re.findall(r"\w+", match.clause.lower()))
    if words & {"done", "completed", "finished", "complete", "finish", "did"}:
        return {"status": "done"}
    return {"status": "open" if words & {"open", "left", "pending", "remaining", "unfinished", "do"} else "all"}


def _words(title: str) -> set[str]:
    return set(re.findall(r"\w+", title.lower())) - _SMALL_WORDS


def _by_title(title: str) -> Found:
    """Look for a title: the very same one, or else one that has all the words; open tasks count before done ones."""
    result = yield Ask("list_tasks", {"status": "all"})
    if not result.ok:
        return f"That did not work: {_reason(result)}."
    tasks: Sequence[Task] = result.record.get("tasks", ())
    same = [task for task in tasks if task["title"].lower() == title.lower()]
    wanted = _words(title)
    fitting = same or [task for task in tasks if wanted and wanted <= _words(task["title"])]
    fitting = [task for task in fitting if not task["done"]] or fitting
    if not fitting:
        return f'I found no task like "{title}".'
    if len(fitting) > 1:
        return "\n".join([f'Several tasks fit "{title}". Which number do you mean?', *map(_shown, fitting)])
    return fitting[0]


def _by_id(task_id: int) -> Found:
    """Take a number at its word; whether there is such a task, the tool will say."""
    yield from ()
    return {"id": task_id}


def _last_mentioned(match: Match) -> Found:
    """Take the task that the last successful call was about."""
    yield from ()
    for result in reversed(match.earlier):
        if result.ok and "id" in result.record and result.tool != "delete_task":
            return result.record
    return "I do not know which task you mean: say its title or number."


def _meant(match: Match) -> Found:
    if "task_id" in match.slots:
        return _by_id(int(match.slots["task_id"]))
    return _by_title(match.text("title")) if "title" in match.slots else _last_mentioned(match)


def _change(
    tool: str, done: str, arguments: Callable[[Match], dict[str, str]] = lambda _: {}
) -> Callable[[Match], Steps]:
    """Make the steps: find the task that is meant, then call the tool on it."""

    def steps(match: Match) -> Steps:
        task = yield from _meant(match)
        if isinstance(task, str):
            return task
        result = yield Ask(tool, {"task_id": task["id"], **arguments(match)})
        return _said(done, result)

    return steps


def _each(tool: str, done: str) -> Callable[[Match], Steps]:
    """Make the steps for several numbers in one clause, such as "tasks 2, 3 and 5"."""

    def steps(match: Match) -> Steps:
        said: list[str] = []
        for number in re.findall(r"\d+", match.text("numbers")):
            result = yield Ask(tool, {"task_id": int(number)})
            said.append(_said(done, result))
        return "\n".join(said)

    return steps


_COMPLETED = "Done: {title}."
_DELETED = "Deleted: {title}."
_complete = _change("complete_task", _COMPLETED)
_delete = _change("delete_task", _DELETED)
_rename = _change("update_task", "Changed: it is now called {title}.", lambda match: {"title": match.text("new")})
_describe = _change(
    "update_task", "Noted for {title}: {description}", lambda match: {"description": match.text("description")}
)

_COMPLETE = "(complete|finish|close|(check|tick|cross) off)"
_DELETE = "(delete|remove|drop|erase|discard|cancel)"
_RENAME = "(rename|change|update|edit)"
_DONE = "[as] (done|complete|completed|finished)"
_IT = "(it|that|this) [one|task]"
_NUMBERS = r"(?:tasks?|numbers?|nos?\.?) (?P<numbers>#?\d+(?:(?:, ?| ?and |, ?and )#?\d+)+)"

RULES = [
    Rule(["help", "what can [you] (do|I say)", "how does this work", "?"], answer=HELP),
    Rule(["(hi|hello|hey|hiya) [there]", "good (morning|afternoon|evening|day)"], answer="Hello! What is there to do?"),
    Rule(["(thanks|thank you|thx|cheers) [a lot|so much|very much]"], answer="You are welcome."),
    Rule(["(bye|goodbye|see you) [later]", "good night"], answer="See you."),
    Rule(
        [
            f"(list|show|see|view|display|get|give|read) [me] [all] [of] [my|the] [all|{_KIND}] {_TASKS}",
            "what [tasks] (is|are|do I have) [still] [there] [left] (on|in) (my|the) [task|todo|to-do] list",
            "what's [still] [left] (on|in) (my|the) [task|todo|to-do] list",
            f"(what|which tasks) (is|are|do I have|have I got) [still] ({_KIND}|left|to do)",
            f"(what|which tasks) (have|did) I [already] ({_KIND}|complete|do|finish)",
            "what's (open|left|pending|done|next)",
            f"(which|what) [{_KIND}] tasks (do I have|are there|have I got|are open|are done|are left) [left]",
            "what do I [still|have to|need to] (do|have to do|need to do) [today|next]",
            "do I have [any] [open] tasks [left]",
            "my (tasks|list|todos)",
        ],
        tool="list_tasks",
        arguments=_wanted_list,
        answer=_listed,
        failure=_failed,
        example="what is on my list?",
    ),
    Rule(
        re.compile(
            rf"(?:complete|finish|check off|tick off|mark) {_NUMBERS}(?: (?:as )?(?:done|completed?|finished))?"
        ),
        steps=_each("complete_task", _COMPLETED),
    ),
    Rule(re.compile(rf"(?:delete|remove|drop|erase|discard|cancel) {_NUMBERS}"), steps=_each("delete_task", _DELETED)),
    Rule(
        [
            f"{_COMPLETE} [the] [task|number] [number] {{task_id:int}}",
            f"(mark|check|tick|set) [off] [the] [task|number] [number] {{task_id:int}} {_DONE}",
            f"{_COMPLETE} {_IT}",
            f"mark {_IT} {_DONE}",
            "(I've|I have|I) [already] (done|did|finished|completed) (it|that)",
            "(it|that) is done",
            f"{_COMPLETE} [the|my] [task] {{title}} {_A_TASK}",
            f"{_COMPLETE} [the|my] [task] {{title}}",
            "(check|tick|cross) {title} off [my|the] [list]",
            f"(mark|set) [the|my] [task] {{title}} [task] {_DONE}",
            "(I've|I have|I) [already|just] (done|did|finished|completed|did) [the] {title}",
            "{title} is (done|complete|completed|finished)",
        ],
        steps=_complete,
        example="complete the milk task",
    ),
    Rule(
        [
            f"{_DELETE} [the] [task|number] [number] {{task_id:int}}",
            f"{_DELETE} {_IT}",
            f"(get rid of|forget [about]) {_IT}",
            f"{_DELETE} [the|my] [task] {{title}} {_A_TASK}",
            f"({_DELETE}|get rid of|forget [about]|take) [the|my] [task] {{title}} {_ON_MY_LIST}",
        ],
        steps=_delete,
        example="delete the milk task",
    ),
    Rule(
        [
            f"{_RENAME} [the] [title of] [task|number] {{task_id:int}} (to|into) {{new}}",
            f"{_RENAME} {_IT} (to|into) {{new}}",
            f"{_RENAME} [the|my] [title of] [task] {{title}} [task] (to|into) {{new}}",
            "call {title} {new} instead",
        ],
        steps=_rename,
        example="rename milk to oat milk",
    ),
    Rule(
        [
            f"(set|change|update) the {_DETAIL} (of|for) [task] {{task_id:int}} to {{description}}",
            f"(set|change|update) the {_DETAIL} (of|for) [the] [task] {{title}} to {{description}}",
            f"(add|put|attach) [the|a] {_DETAIL} {{description}} to [task] {{task_id:int}}",
            f"(add|put|attach) [the|a] {_DETAIL} {{description}} to [the] [task] {{title}}",
            "(note|describe) [for] [task] {task_id:int}: {description}",
        ],
        steps=_describe,
    ),
    Rule(
        [
            f"(add|create|make) [a] [new] {_A_TASK} [called|named|for] {{title}} with [the] {_DETAIL} {{description}}",
            f"(add|put) {{title}} {_ON_MY_LIST} with [the] {_DETAIL} {{description}}",
            f"(add|create|make|set) [me] [a] [new] {_A_TASK}[:] [called|named|titled|for|to] {{title}} {_ON_MY_LIST}",
            f"(add|put|note [down]|write down) {{title}} {_ON_MY_LIST}",
            f"[a] [new] {_A_TASK}: {{title}}",
            f"new {_A_TASK} {{title}}",
            "(remind me|don't let me forget|remember|don't forget) to {title}",
            "I (need|have|must|should|want) [to] remember to {title}",
            "I (must|should|have to|need to|gotta) [also] {title}",
        ],
        tool="add_task",
        answer="Added: {result.title}.",
        failure=_failed,
        example="add milk to my list",
    ),
]
