"""A small OpenAI-compatible server for tests and benchmarks: standard library only, loopback, scripted, strict."""

from .replies import (
    JSON,
    Answer,
    BrokenJson,
    Call,
    Cut,
    ErrorEvent,
    Failed,
    Hang,
    Incomplete,
    NoTerminal,
    Paced,
    Raw,
    Reply,
    Status,
    Usage,
)
from .server import Behaviour, OpenAIServer, Request, Script
from .strict import ACCEPTED, Problem, Route

__all__ = [
    "ACCEPTED",
    "JSON",
    "Answer",
    "Behaviour",
    "BrokenJson",
    "Call",
    "Cut",
    "ErrorEvent",
    "Failed",
    "Hang",
    "Incomplete",
    "NoTerminal",
    "OpenAIServer",
    "Paced",
    "Problem",
    "Raw",
    "Reply",
    "Request",
    "Route",
    "Script",
    "Status",
    "Usage",
]
