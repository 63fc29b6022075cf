"""MCP servers that nobody here wrote, how each is started, and a call to which the answer is known."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from assistant_kit.messages import Json, JsonObject
from tests.mcp_servers.installed import npm_command, python_command

Transport: TypeAlias = Literal["stdio", "http", "sse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A way to start a server. `path` is where it listens; servers of the transport stdio have none."""

    command: Callable[[Path, int], Sequence[str]]
    path: str = ""
    port_variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A call and a part of its answer; `wrong` are arguments that the server's schema does not admit.

    No answer: the tool asks a service on the internet, which refuses or cannot be reached, and says so.
    """

    tool: str
    arguments: Callable[[Path], JsonObject]
    answer: str
    wrong: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServer:
    """A server, its ways to be started, and what is known of it. `tools` is how many it offers, at least."""

    name: str
    starts: Mapping[Transport, Start]
    tools: int
    known: Known
    variables: Callable[[Path], Mapping[str, str]] = lambda _: {}
    prepare: Callable[[Path], None] = lambda _: None


def _git_folder(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)  # noqa: S607  (the git of this machine)


def _note(folder: Path) -> None:
    (folder / "note.txt").write_text("ships at dawn")


def _always(**arguments: Json) -> Callable[[Path], JsonObject]:
    return lambda _: arguments


def _npm(name: str, *words: str) -> Start:
    return Start(command=lambda _folder, _port: [npm_command(name), *words])


def _python(name: str, *words: str) -> Start:
    return Start(command=lambda _folder, _port: [python_command(name), *words])


@dataclass(frozen=True, slots=True)
class _InFolder:
    """A command line whose last word is the folder of the trial."""

    words: Sequence[str] = field(default_factory=tuple)

    def __call__(self, folder: Path, _port: int) -> Sequence[str]:
        return [*self.words, str(folder)]


SERVERS: Sequence[RealServer] = (
    RealServer(
        name="everything",
        starts={
            "stdio": _npm("mcp-server-everything", "stdio"),
            "http": Start(
                command=lambda _folder, _port: [npm_command("mcp-server-everything"), "streamableHttp"],
                path="/mcp",
                port_variable="PORT",
            ),
            "sse": Start(
                command=lambda _folder, _port: [npm_command("mcp-server-everything"), "sse"],
                path="/sse",
                port_variable="PORT",
            ),
        },
        tools=13,
        known=Known(tool="get-sum", arguments=_always(a=2, b=40), answer="42", wrong={"a": "two", "b": 40}),
    ),
    RealServer(
        name="filesystem",
        starts={"stdio": Start(command=_InFolder([npm_command("mcp-server-filesystem")]))},
        tools=14,
        known=Known(
            tool="read_text_file",
            arguments=lambda folder: {"path": str(folder / "note.txt")},
            answer="ships at dawn",
            wrong={"path": 7},
        ),
        prepare=_note,
    ),
    RealServer(
        name="memory",
        starts={"stdio": _npm("mcp-server-memory")},
        tools=9,
        known=Known(
            tool="open_nodes",
            arguments=_always(names=["Ada"]),
            answer="entities",
            wrong={"names": 7},
        ),
        variables=lambda folder: {"MEMORY_FILE_PATH": str(folder / "memory.json")},
    ),
    RealServer(
        name="sequential-thinking",
        starts={"stdio": _npm("mcp-server-sequential-thinking")},
        tools=1,
        known=Known(
            tool="sequentialthinking",
            arguments=_always(thought="first", nextThoughtNeeded=False, thoughtNumber=1, totalThoughts=1),
            answer="thoughtNumber",
            wrong={"thought": "first", "nextThoughtNeeded": False, "thoughtNumber": 0, "totalThoughts": 1},
        ),
    ),
    RealServer(
        name="github",  # the wire of 2024
        starts={"stdio": _npm("mcp-server-github")},
        tools=26,
        known=Known(tool="get_issue", arguments=_always(owner="o", repo="r", issue_number=1), answer="", wrong={}),
    ),
    RealServer(
        name="notion",  # $defs, $ref, oneOf, const in every schema
        starts={"stdio": _npm("notion-mcp-server")},
        tools=24,
        known=Known(
            tool="API-get-user",
            arguments=_always(user_id="7d9d6c7a-5a5b-4a83-9d3c-0d2a2a6f4f0e"),
            answer="",
            wrong={"user_id": ["a", "list"]},
        ),
        variables=lambda _: {"NOTION_TOKEN": "x"},
    ),
    RealServer(
        name="chart",  # deep schemas
        starts={"stdio": _npm("mcp-server-chart")},
        tools=27,
        known=Known(
            tool="generate_pie_chart",
            arguments=_always(data=[{"category": "a", "value": 1}]),
            answer="",
            wrong={"data": "none"},
        ),
    ),
    RealServer(
        name="time",
        starts={"stdio": _python("mcp-server-time")},
        tools=2,
        known=Known(
            tool="convert_time",
            arguments=_always(source_timezone="UTC", time="12:00", target_timezone="Asia/Tokyo"),
            answer="21:00",
            wrong={"source_timezone": "UTC", "time": 12, "target_timezone": "Asia/Tokyo"},
        ),
    ),
    RealServer(
        name="git",
        starts={"stdio": Start(command=_InFolder([python_command("mcp-server-git"), "-r"]))},
        tools=12,
        known=Known(
            tool="git_status",
            arguments=lambda folder: {"repo_path": str(folder)},
            answer="branch",
            wrong={"repo_path": 7},
        ),
        prepare=_git_folder,
    ),
    RealServer(
        name="motherduck",  # anyOf with null, no further properties
        starts={
            "stdio": _python("mcp-server-motherduck", "--db-path", ":memory:", "--read-write"),
            "http": Start(
                command=lambda _folder, port: [
                    *(python_command("mcp-server-motherduck"), "--db-path", ":memory:", "--read-write"),
                    *("--transport", "http", "--host", "127.0.0.1", "--port", str(port)),
                ],
                path="/mcp",
            ),
        },
        tools=4,
        known=Known(tool="execute_query", arguments=_always(sql="SELECT 6 * 7 AS x"), answer="42", wrong={"sql": 7}),
        variables=lambda folder: {"HOME": str(folder)},
    ),
    RealServer(
        name="excel",  # $ref and anyOf, 46 tools
        starts={"stdio": _python("excel-mcp-server", "stdio")},
        tools=46,
        known=Known(
            tool="create_workbook",
            arguments=lambda folder: {"path": str(folder / "book.xlsx"), "sheets": ["Sheet1"], "overwrite": True},
            answer="book",
            wrong={"path": 7},
        ),
        variables=lambda folder: {"EXCEL_FILES_PATH": str(folder)},
    ),
)
