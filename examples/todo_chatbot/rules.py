"""What the rule-based model understands of tasks, for the time without a language model."""

import re
from collections.abc import Sequence

from assistant_kit import Rule, RuleModel
from assistant_kit.models.rule_model import Answer, Match, Result, Steps
from assistant_kit.protocols.model import Model
from examples.todo_chatbot.careful_reader import CarefulReader
from examples.todo_chatbot.meant_tasks import Task, meant, reason, shown
from examples.todo_chatbot.spelling import PAST
from examples.todo_chatbot.task_changes import (
    ADDED,
    CHANGED,
    COMPLETED,
    DELETED,
    NOT_REOPENED,
    NOTED,
    WHAT_TO_ADD,
    WHEN,
    add_again,
    add_each,
    ask_for_name,
    change,
    complete_what_was_done,
    correct,
    move,
    recall,
    replace_words,
    undo,
)

HELP = """I keep your task list. You can say, for example:
- add milk to my list
- what is on my list?
- complete the milk task
- rename milk to oat milk
- delete the milk task
Without a language model I understand plain sentences like these and not much more."""
_NOT_UNDERSTOOD = f"I did not understand that. {HELP}"

_YOU = "(you|u|ya)"
_FILLER = (
    "(please|pls|plz|kindly|just)",
    "(no|nope|yes|ok|okay|alright|all right|well|so|but|also|now|yo|hey|um|oh|actually)",
    "(hi|hello|good morning|good evening) [there]",
    "(mate|bro|dude|man|buddy)",
    "[many] (thanks|thank you|thx|cheers) [a lot|so much|very much|in advance]",
    "(sorry|excuse me)",
    f"sorry to (bother|disturb) {_YOU}",
    f"if {_YOU} (don't|do not) mind",
    f"(when|if|as soon as) {_YOU} (have|get|find) [a] (moment|minute|time|chance)",
    f"(can|could|would|will|do) {_YOU} [mind]",
    f"{_YOU} can",
    "be so (kind|good|nice) (as to|and|to)",
    f"(I'd|I would) be (grateful|glad|happy) if {_YOU} (could|would|can)",
    f"(I'd|I would) appreciate it if {_YOU} (could|would|can)",
    f"I (was wondering|wonder|wondered) (if|whether) {_YOU} (could|would|can)",
    f"(may|can|could|might) I (ask|trouble|bother) {_YOU} to",
    f"(I want|I need|I would like|I'd like) {_YOU} to",
    "(may|can|could) I",
    "[I] (wanna|want to|would like to)",
    "I'd (like|love) to",
    "(let me|lemme)",
    "(see|know|hear|show me|check|tell me|remind me)",
    "for me",
    "(right|straight) away",
    "(if possible|asap|rn|right now)",
)

_A_TASK = "(task|todo|to-do|item|reminder|entry)"
_TASKS = "[to-do|todo|task|shopping] (tasks|task|todos|to-dos|list|items|task list|entries|stuff|things)"
_KIND = "open|done|pending|remaining|completed|finished|unfinished|complete|incomplete"
_DETAIL = "(description|note|notes|details|comment)"
_LIST = "(my|the|our|that) [(task|todo|to-do|shopping|grocery)] (list|tasks|todos)"
_ON_MY_LIST = f"[(to|on|onto|in|from|off|out of) {_LIST}]"
_WHATS = "(what's|whats|what is|what are)"
_STILL = "[still|currently|now]"
_STILL_THERE = "[left|on my list|to do]"
_SHOW = "(list|show|see|view|display|get|give|read|gimme|check)"
_SEVERAL = "(tasks|todos|items|things)"
_OOPS = "no|sorry|oops|wait|actually|hm|hmm"
_SHORT_VERB = re.compile(r"[^aeiou]+[aeiou]([bdgmnpt])")  # "drop" becomes "dropping"
_I_MEANT = "(I meant|I mean|I wanted|I meant to say|I should have said|make (it|that)|it should be|rather|better)"


def todo_model() -> Model:
    """Return the model for the todo tools."""
    rules = RuleModel(RULES, fallback=_NOT_UNDERSTOOD, filler=_FILLER, name="todo-rules")
    return CarefulReader(rules, not_understood=_NOT_UNDERSTOOD, vocabulary=_vocabulary())


def _vocabulary() -> frozenset[str]:
    """Return the words that are in the sentences that are understood."""
    templates = [
        pattern
        for rule in RULES
        for pattern in ([rule.patterns] if isinstance(rule.patterns, str | re.Pattern) else rule.patterns)
        if isinstance(pattern, str)
    ]
    return frozenset(
        re.findall(r"(?<![a-z'])[a-z]{2,}(?![a-z'])", re.sub(r"\{.*?\}", " ", " ".join([*templates, *_FILLER])).lower())
    )


def _failed(_match: Match, result: Result) -> Answer:
    return f"That did not work: {reason(result)}."


def _listed(match: Match, result: Result) -> Answer:
    tasks: Sequence[Task] = result.record.get("tasks", ())
    kind = {"open": "open ", "done": "finished "}.get(str(result.arguments.get("status")), "")
    if not tasks:
        return f"You have no {kind}tasks."
    many = f"You have {len(tasks)} {kind}task{'s' if len(tasks) > 1 else ''}"
    if re.match(r"how many", match.clause, re.IGNORECASE):
        return f"{many}."
    numbered = re.search(r"\b(?:ids?|numbers?)\b", match.clause, re.IGNORECASE) is not None
    return "\n".join([f"{many}:", *(shown(task, numbered=numbered) for task in tasks)])


def _wanted_list(match: Match) -> dict[str, str]:
    words = set(re.findall(r"\w+", match.clause.lower()))
    if (
        words & {"open", "left", "pending", "remaining", "unfinished", "incomplete", "do", "next"}
        and "have done" not in match.clause
    ):
        return {"status": "open"}
    return {"status": "done"} if words & {"done", "completed", "finished", "complete", "finish", "did"} else {}


def _number_of(match: Match) -> Steps:
    found = yield from meant(match, match.text("what"), "look for")
    return "\n".join([*(shown(task, numbered=True) for task in found.tasks if "title" in task), *found.unclear])


def _recalled(match: Match, _result: Result) -> Answer:
    return " ".join(recall(match))


def _with_when(match: Match) -> dict[str, str]:
    when = match.text("when")
    return {"title": f"{match.text('title')} {when[:1].lower()}{when[1:]}"}


def _verbs(*verbs: str) -> str:
    """Return alternatives of verbs, with the form after "would you mind"."""
    return f"({'|'.join(form for verb in verbs for form in (verb, _ing(verb)))})"


def _ing(verb: str) -> str:
    first, *rest = verb.split(" ")
    short = _SHORT_VERB.fullmatch(first)
    return " ".join([f"{first}{short[1]}ing" if short else f"{first.removesuffix('e')}ing", *rest])


_COMPLETE = _verbs("complete", "finish", "close", "check off", "tick off", "cross off")
_DELETE = _verbs(
    "delete", "remove", "drop", "erase", "discard", "cancel", "clear", "get rid of", "forget about", "take off", "kill",
    "nuke", "bin", "ditch", "dump", "scrap", "trash", "axe", "toss", "scratch", "strike", "wipe",
)  # fmt: skip
_RENAME = _verbs("rename", "change", "update", "edit", "turn")
_ADD = _verbs("add", "put", "note", "note down", "write down", "jot down")
_ADD_SLANG = f"({_ADD}|stick|chuck|throw|pop|slap|get|toss|enter|insert|include)"
_MARK = _verbs("mark", "set", "check", "tick")
_DONE = "[off] [as] (done|complete|completed|finished)"
_MUST = "(must|should|have to|need to|gotta|have got to|ought to|gonna|am going to)"

_complete = change("complete_task", COMPLETED, "complete")
_delete = change("delete_task", DELETED, "delete")
_rename = change("update_task", CHANGED, 'rename to "{new}"', lambda match, _: {"title": match.text("new")})
_describe = change(
    "update_task", NOTED, 'describe as "{description}"', lambda match, _: {"description": match.text("description")}
)

RULES = [
    Rule(["help [me]", f"what can [{_YOU}] (do|I say)", "how does this work", "?"], answer=HELP),
    Rule(
        ["(hi|hello|hey|hiya|yo) [there]", "good (morning|afternoon|evening|day)"], answer="Hello! What is there to do?"
    ),
    Rule(
        [
            "(thanks|thank you|thx|cheers|ta) [a lot|so much|very much|again]",
            "(that|this|it|you) (was|is|are|were) [very|really|so] (helpful|great|good|nice|kind|perfect|useful)",
            "[very] (great|perfect|nice|cool|awesome|good job|well done|wonderful)",
        ],
        answer="You are welcome.",
    ),
    Rule(["(bye|goodbye|see you|cya) [later|soon]", "good night"], answer="See you."),
    Rule(
        [
            "never mind",
            "nevermind",
            "forget it",
            "(cancel|stop|leave) [it|that]",
            "(no|nope) (thanks|thank you)",
            "don't",
            "(neither|none) [of them]",
        ],
        answer="All right, I leave it as it is.",
    ),
    Rule(
        [
            "(undo|revert) [that|it|this|the last (one|change)] [again]",
            "(scratch|strike) that",
            "(take|I take) (that|it) back",
            "put it back [as it was]",
        ],
        steps=undo,
        example="undo that",
    ),
    Rule(
        [
            "[no|wait] (that|it) (is not|isn't|was not|wasn't|'s not) (done|finished|completed|complete) [yet]",
            "(reopen|uncheck|untick|uncomplete) [{what}]",
            "mark {what} as (open|undone|not done|unfinished) [again]",
        ],
        answer=NOT_REOPENED,
    ),
    Rule(
        [
            "what did you [just] (add|do|delete|change|complete|say)",
            "what have you [just] (added|done|changed|deleted)",
            "what was the last (change|thing)",
        ],
        answer=_recalled,
    ),
    Rule(
        [
            f"{_SHOW} [me] [all] [of] [my|the] [all] [{_KIND}] {_TASKS} [with [their|the|all] (ids|numbers)]",
            f"what [tasks] (is|are|do I have) {_STILL} [there] [left] (on|in) {_LIST}",
            f"{_WHATS} [all] {_STILL} [left] (on|in) {_LIST}",
            f"{_WHATS} on my (plate|agenda|radar|mind|schedule)",
            f"(what|which tasks) (is|are|do I have|have I got) {_STILL} ({_KIND}|left|to do)",
            f"(what|which tasks) (have|did) I [already] ({_KIND}|complete|do|finish)",
            f"{_WHATS} {_STILL} (open|left|pending|done|next|up) [on my list]",
            f"(which|what) [{_KIND}] tasks (do I have|are there|have I got|are open|are done|are left) [left]",
            f"what do I {_STILL} (have|have to|need to|must|got) [to] (do|get done) [today|tomorrow|next|now]",
            f"(do I have|have I got|are there) [any] [{_KIND}] (tasks|todos) [left|open]",
            f"[is there] (anything|something) [left|still] [open|to do] [left|on {_LIST}]",
            f"(whatcha|what you|what have you) got [for me] [on {_LIST}]",
            f"how many [{_KIND}] (tasks|todos|things) (do I have|are there|have I got|are (left|open)) {_STILL_THERE}",
            f"[my|all my] [{_KIND}] (tasks|list|todos) [please]",
            f"{_WHATS} (my|the) [{_KIND}] (tasks|todos)",
        ],
        tool="list_tasks",
        arguments=_wanted_list,
        answer=_listed,
        failure=_failed,
        example="what is on my list?",
    ),
    Rule([f"{_WHATS} the (number|id) of {{what}}", "(what|which) (number|id) (is|has) {what}"], steps=_number_of),
    Rule(
        [f"{_ADD_SLANG} (it|that|them) (again|back) {_ON_MY_LIST}", "bring (it|that) back", "restore (it|that)"],
        steps=add_again,
    ),
    Rule(
        [
            f"(add|create|make) [a|me a] [new] {_A_TASK}",
            f"{_ADD_SLANG} (something|it|that|this|them|one) {_ON_MY_LIST}",
            "add",
            "new task",
        ],
        answer=WHAT_TO_ADD,
    ),
    Rule(
        [f"{_ADD_SLANG} [these|the following] [two|three|four|{{many:int}}] [new] {_SEVERAL}: {{titles}}"],
        steps=add_each,
    ),
    Rule(
        [f"{_ADD_SLANG} {{titles}} [(on|to|onto|in) {_LIST}] as (separate|single|different|several) {_SEVERAL}"],
        steps=add_each,
    ),
    Rule(
        [
            f"{_ADD} [a|the] {_DETAIL} to [task] {{what}}: {{description}}",
            f"(set|change|update) the {_DETAIL} (of|for) [task] {{what}} to {{description}}",
            f"{_ADD} [the|a] {_DETAIL} {{description}} to {{what}}",
            "(note|describe) [for] [task] {what}: {description}",
            "describe {what} as {description}",
            f"{_ADD} [the|a] {_DETAIL} [saying] that {{description}}",
        ],
        steps=_describe,
    ),
    Rule(
        [
            f"{_MARK} {{what}} {_DONE}",
            f"{_COMPLETE} {{what}}",
            "(check|tick|cross) {what} off [my|the] [list]",
            "[I'm|I am|all] done with {what}",
            "{what} (is|are) [now|all] (done|complete|completed|finished|sorted|over)",
        ],
        steps=_complete,
        example="complete the milk task",
    ),
    Rule(re.compile(rf"(?P<what>.+) (?:has|have) been {PAST}"), steps=_complete),
    Rule(
        re.compile(rf"(?:(?:I['\u2019]ve|I have|I) )?(?:already |just )?(?P<what>{PAST} .+)"),
        steps=complete_what_was_done,
    ),
    Rule(
        [
            f"(add|create|make) [a] [new] {_A_TASK} [called|named|for] {{title}} with [the] {_DETAIL} {{description}}",
            f"(add|put) {{title}} {_ON_MY_LIST} with [the] {_DETAIL} {{description}}",
            f"(add|create|make|set) [me] [a] [new] {_A_TASK}[:] [called|named|titled|for|to] {{title}} {_ON_MY_LIST}",
            f"{_ADD_SLANG} {{title}} (to|on|onto|in) {_LIST}",
            f"{_ADD} {{title}}",
            f"[a] [new] {_A_TASK}: {{title}}",
            f"new {_A_TASK} {{title}}",
            "(remind me|don't let me forget|remember|don't forget) to {title}",
            "I (need|have|must|should|want) [to] remember to {title}",
            f"[I] {_MUST} [also] {{title}}",
        ],
        tool="add_task",
        answer=lambda match, result: ADDED.format_map({"title": match.text("title"), **result.record}),
        failure=_failed,
        example="add milk to my list",
    ),
    Rule(
        [
            re.compile(rf"remind me (?P<when>{WHEN}) (?:to|about) (?P<title>.+)"),
            re.compile(rf"(?P<when>{WHEN}),? I (?:must|should|have to|need to|gotta|want to) (?P<title>.+)"),
            re.compile(rf"(?P<when>{WHEN}):? remind me to (?P<title>.+)"),
        ],
        tool="add_task",
        arguments=_with_when,
        answer=lambda match, result: ADDED.format_map({"title": match.text("title"), **result.record}),
        failure=_failed,
    ),
    Rule(
        [
            f"{_DELETE} {{what}} (on|in|from|off) {_LIST}",
            f"(take|taking|get|getting|strike|striking) {{what}} off [of] [{_LIST}] [again]",
            f"{_DELETE} {{what}}",
        ],
        steps=_delete,
        example="delete the milk task",
    ),
    Rule(
        [
            f"{_RENAME} [the] [title of|name of] {{what}} (to|into) {{new}}",
            "call {what} {new} instead",
        ],
        steps=_rename,
        example="rename milk to oat milk",
    ),
    Rule(["(move|reschedule|postpone|delay|shift|push) {what} [back] (to|until|till) {when}"], steps=move),
    Rule(f"{_RENAME} {{what}}", steps=ask_for_name),
    Rule(["[no] not {old}, [but] {new}", "[no] not {old} but {new}", "{new} not {old}"], steps=replace_words),
    Rule(
        [
            f"[{_OOPS}][,] {_I_MEANT} {{new}} [instead]",
            f"({_OOPS})[,] to {{new}}",
        ],
        steps=correct,
    ),
    Rule(
        re.compile(
            rf"(?:{_OOPS})[, ]+"
            r"(?P<new>(?!(?:don['\u2019]t|not|thanks?|that|it|this|never|please|i|you|we|what|why|how)\b).{2,100})"
        ),
        steps=correct,
    ),
]
