"""The pages: sign-in, the list of conversations, a conversation. They work without JavaScript; with it they are live.

What is asked for is asked of the orchestrator, for the user who is signed in. A form's answer is a redirect, so that a
reload repeats nothing; a message carries the key that its page was made with, so that sending it twice is once.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import quote
from uuid import uuid4

from flask import Blueprint, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from examples.flask_demo.frontend.asking import JsonObject, Problem, asked
from examples.flask_demo.frontend.markdown import render
from examples.flask_demo.frontend.sign_in import current_user

Shown = str | Response | tuple[str, int]
P = ParamSpec("P")

pages = Blueprint("pages", __name__)

UNTITLED = "New conversation"
LONGEST = 8000
"""Characters of a message."""
OUTCOMES = {
    "": "running",
    "waiting": "waits for you",
    "ok": "done",
    "error": "failed",
    "unknown": "outcome unknown",
    "cancelled": "stopped",
    "denied": "not allowed",
}
"""What became of a tool call, in words."""
_PROBLEMS = {
    404: ("Not found", "There is no such page, conversation or file, or it is not yours."),
    409: ("Not now", "The assistant is still busy with this conversation. Wait for its answer, or stop it."),
    413: ("Too long", "That is more than the assistant can take."),
    422: ("Not understood", "That could not be taken as it is."),
    429: ("Too many requests", "You have used up what you may ask for now. Try again a little later."),
    503: ("Not available", "The assistant cannot be reached at the moment. Nothing that you wrote before is lost."),
}


def for_user(view: Callable[Concatenate[str, P], Shown]) -> Callable[P, Shown]:
    """Give a view the id of the user as its first argument; who is not signed in is asked to."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Shown:
        user = current_user()
        if user is None:
            wanted = request.full_path.rstrip("?") if request.method == "GET" else url_for("pages.conversations")
            return redirect(url_for("pages.sign_in_page", next=wanted))
        return view(user.id, *args, **kwargs)

    return checked


@pages.get("/")
def home() -> Shown:
    return redirect(url_for("pages.conversations" if current_user() else "pages.sign_in_page"))


@pages.get("/sign-in")
def sign_in_page() -> Shown:
    if current_user():
        return redirect(url_for("pages.conversations"))
    return render_template("sign_in.html", next=request.args.get("next", ""))


@pages.get("/conversations")
@for_user
def conversations(user: str) -> Shown:
    return render_template("conversations.html", **_listed(user))


@pages.post("/conversations")
@for_user
def begin(user: str) -> Shown:
    made = asked(user, "POST", "/conversations", {})
    return redirect(url_for("pages.conversation", conversation=made["id"]), 303)


@pages.get("/conversations/<conversation>")
@for_user
def conversation(user: str, conversation: str) -> Shown:
    shown = asked(user, "GET", f"/conversations/{quote(conversation)}")
    return render_template(
        "chat.html",
        conversation=shown,
        turns=[_turn(turn, shown["pending"]) for turn in shown["turns"]],
        longest=LONGEST,
        **_listed(user),
    )


@pages.post("/conversations/<conversation>/messages")
@for_user
def send(user: str, conversation: str) -> Shown:
    text = request.form.get("text", "").replace("\r\n", "\n").strip()  # forms write ends of lines in their own way
    if not text or len(text) > LONGEST:
        raise Problem(422, f"A message has 1 to {LONGEST} characters.")
    headers = {"Idempotency-Key": request.form.get("key", "") or new_key(), "Accept": "application/json"}
    said = {"text": text, "files": request.form.getlist("file")}
    asked(user, "POST", f"/conversations/{quote(conversation)}/messages", said, headers)
    return _back_to(conversation)


@pages.post("/conversations/<conversation>/stop")
@for_user
def stop(user: str, conversation: str) -> Shown:
    asked(user, "POST", f"/conversations/{quote(conversation)}/stop", {})
    return _back_to(conversation)


@pages.post("/conversations/<conversation>/approvals/<call_id>")
@for_user
def decide(user: str, conversation: str, call_id: str) -> Shown:
    decision = {"approve": request.form.get("approve") == "yes", "digest": request.form.get("digest", "")}
    asked(user, "POST", f"/conversations/{quote(conversation)}/approvals/{quote(call_id, safe='')}", decision)
    return _back_to(conversation)


@pages.post("/conversations/<conversation>/rename")
@for_user
def rename(user: str, conversation: str) -> Shown:
    title = request.form.get("title", "").strip()
    if not title:
        raise Problem(422, "A title needs at least one character.")
    asked(user, "PATCH", f"/conversations/{quote(conversation)}", {"title": title})
    return _back_to(conversation)


@pages.post("/conversations/<conversation>/delete")
@for_user
def delete(user: str, conversation: str) -> Shown:
    asked(user, "DELETE", f"/conversations/{quote(conversation)}")
    return redirect(url_for("pages.conversations"), 303)


def new_key() -> str:
    """Return a key for one message: under it, it is said once however often it is sent."""
    return uuid4().hex


@pages.app_errorhandler(Problem)
def told(problem: Problem) -> Shown:
    title, text = _PROBLEMS.get(problem.status, ("That did not work", "Something went wrong. Try again."))
    return problem_page(title, problem.message or text, problem.status)


def problem_page(title: str, text: str, status: int) -> tuple[str, int]:
    """Return a page that says what is the matter; it needs neither sessions nor the orchestrator."""
    return render_template("problem.html", title=title, text=text, bare=True), status


@pages.app_template_filter("pretty")
def pretty(value: object) -> str:
    """Return JSON as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@pages.app_template_filter("sentence")
def sentence(message: str | None) -> str:
    """Return a message of the API as a sentence."""
    if not message:
        return ""
    return message[0].upper() + message[1:] + ("" if message[-1] in ".!?" else ".")


@pages.app_template_filter("moment")
def moment(at: str) -> str:
    """Return a time of the API as people read it, in UTC; the page's script shows it in the time of its reader."""
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M} UTC"


@pages.app_context_processor
def _words() -> JsonObject:
    return {"outcomes": OUTCOMES, "untitled": UNTITLED, "current_user": current_user, "new_key": new_key}


def _turn(turn: JsonObject, pending: list[JsonObject]) -> JsonObject:
    """Return a turn as its template shows it: a finished answer as HTML, and what waits for a decision.

    It looks as it did while it was told: what was said before a tool was used stays the plain text that it came as, and
    of an answer that there will not be nothing is left.
    """
    waiting = {call["call_id"]: call for call in pending} if turn["status"] == "waiting" else {}
    steps: list[JsonObject] = [
        {**step, "tools": [_decidable(tool, waiting) for tool in step["tools"]]} for step in turn["steps"]
    ]
    if steps and not steps[-1]["tools"]:
        if turn["status"] in {"failed", "cancelled"}:
            steps.pop()
        elif turn["status"] == "completed":
            steps[-1]["html"] = Markup(render(steps[-1]["text"]))  # noqa: S704  (what has passed the list of tags)
    return {**turn, "steps": steps, "pending": list(waiting.values())}


def _decidable(tool: JsonObject, waiting: JsonObject) -> JsonObject:
    return {**tool, "outcome": "waiting"} if tool["outcome"] is None and tool["call_id"] in waiting else tool


def _listed(user: str) -> JsonObject:
    return {"conversations": asked(user, "GET", "/conversations?limit=50")["conversations"]}


def _back_to(conversation: str) -> Response:
    return redirect(url_for("pages.conversation", conversation=conversation, _anchor="end"), 303)
