"""The todo demo as people run it: piped, on a terminal, with bad input, with a server that hangs, killed, restarted."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event

import httpx2
import pytest

from examples.todo_chatbot.database import Database, file_url
from examples.todo_chatbot.services.conversation_service import ConversationService
from examples.todo_chatbot.services.message_service import MessageService
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService
from examples.todo_chatbot.settings import SettingsError, read_settings
from tests.examples.terminal import CTRL_C, CTRL_D, Terminal
from tests.openai_server import Answer, Behaviour, Call, Hang, OpenAIServer, Reply, Request
from tests.services.processes import free_port

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "examples.todo_chatbot")
SAMPLE = (ROOT / "examples" / "todo_chatbot" / "sample.txt").read_bytes()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def environment(data: Path, **more: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TODO_"))}
    return {**kept, "TODO_DATA": str(data), "TERM": "dumb", **more}


def piped(given: bytes | str, data: Path, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        COMMAND,
        input=given if isinstance(given, bytes) else given.encode(),
        capture_output=True,
        cwd=ROOT,
        env=environment(data, **more),
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines), done.stderr
    return lines


def titles(data: Path, user: str = "local") -> list[str]:
    database = Database(file_url(data / "todo.db"))
    tasks = TaskService(database).list(UserService(database).named(user))
    database.close()
    return [f"{task.title}{' (done)' * task.done}" for task in tasks]


def messages(data: Path) -> list[list[tuple[str, str]]]:
    """What the message table holds of each conversation, the newest first."""
    database = Database(file_url(data / "todo.db"))
    user, kept = UserService(database).named("local"), MessageService(database)
    said = [
        [(one.role.value, one.content) for one in kept.list(user, conversation.id)]
        for conversation in ConversationService(database).list(user)
    ]
    database.close()
    return said


def openai(server: OpenAIServer) -> Mapping[str, str]:
    return {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "test", "OPENAI_MODEL": "test-model"}


def test_the_sample_runs_twice_on_one_database_and_sees_what_it_left(data: Path) -> None:
    first = piped(SAMPLE, data)
    assert (first.returncode, first.stderr) == (0, "")
    assert "Basic mode" in first.stdout
    assert str(data) in first.stdout
    left = ["buy oat milk (done)", "call Ada (done)", "pay the rent"]
    assert titles(data) == left
    second = piped(SAMPLE, data)
    assert (second.returncode, second.stderr) == (0, "")
    assert "Going on with the conversation" in second.stdout
    seen = second.stdout.partition("> Please add")[0]
    assert "You have no tasks" in first.stdout.partition("> Please add")[0]
    assert all(title in seen for title in left)
    assert titles(data) == left + left


def test_the_transcript_shows_messages_calls_results_and_answers(data: Path) -> None:
    done = piped("add milk\n", data)
    assert done.stdout.splitlines()[2:] == [
        "> add milk",
        '  -> add_task(title="milk")',
        next(line for line in done.stdout.splitlines() if line.startswith('  <- id=1, title="milk"')),
        "Added: milk.",
    ]


def test_commands_work_in_a_pipe(data: Path) -> None:
    done = piped("/history\nadd milk\n/tools\n/history\n/new\n/history\n/help\n/QUIT\nadd tea\n", data)
    assert (done.returncode, done.stderr) == (0, "")
    assert titles(data) == ["milk"]
    shown = done.stdout.split("> /")
    assert "Nothing has been said yet." in shown[1]
    assert "add_task: Add a task" in shown[2]
    assert "> add milk\n  add_task(" in shown[3]
    assert "Nothing has been said yet." in shown[5]
    assert "Ctrl-C" in shown[6]


def test_what_is_no_text_is_refused_line_by_line_and_the_rest_goes_on(data: Path) -> None:
    done = piped(
        b"add milk\n\xff\xfe\x00\x01garbage\n\nadd \x1b[2Jtea\n" + b"x" * (1 << 21) + b"\n/oops\nadd salt\n", data
    )
    assert done.returncode == 1
    lines = errors(done)
    assert [next(word for word in ("line 2", "line 4", "line 5", "/oops") if word in line) for line in lines] == [
        "line 2", "line 4", "line 5", "/oops",
    ]  # fmt: skip
    assert titles(data) == ["milk", "salt"]


def test_random_bytes_end_in_errors_and_leave_what_is_stored_alone(data: Path) -> None:
    piped("add milk\n", data)
    done = piped(bytes(range(256)) * 50, data)
    assert done.returncode == 1
    assert errors(done)
    assert titles(data) == ["milk"]


def test_a_message_that_is_too_long_for_the_model_is_refused_and_the_rest_goes_on(data: Path) -> None:
    done = piped("word " * 150_000 + "\nadd milk\n", data)
    assert done.returncode == 1
    assert len(errors(done)) == 1
    assert titles(data) == ["milk"]


def test_a_data_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "data"):
        done = piped("add milk\n", folder)
        assert done.returncode == 2
        assert len(errors(done)) == 1
        assert "TODO_DATA" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_without_permission_is_one_clear_error(data: Path) -> None:
    data.mkdir(mode=0o500)
    done = piped("add milk\n", data)
    assert done.returncode == 2
    assert "TODO_DATA" in errors(done)[0]


def test_a_file_that_is_no_database_is_one_clear_error_and_stays_as_it_is(data: Path) -> None:
    data.mkdir()
    (data / "todo.db").write_text("precious notes, " * 100)
    done = piped("add milk\n", data)
    assert done.returncode == 2
    assert len(errors(done)) == 1
    assert "todo.db" in done.stderr
    assert (data / "todo.db").read_text() == "precious notes, " * 100


def test_a_database_that_cannot_be_is_one_clear_error(data: Path) -> None:
    done = piped("add milk\n", data, DATABASE_URL="sqlite:///missing/folder/todo.db")
    assert done.returncode == 2
    assert len(errors(done)) == 1


def test_what_was_said_is_in_the_tables_of_the_app(data: Path) -> None:
    piped("add milk\nadd tea\n/new\n/new\nthank you\n", data)
    assert messages(data) == [
        [("user", "thank you"), ("assistant", "You are welcome.")],
        [("user", "add milk"), ("assistant", "Added: milk."), ("user", "add tea"), ("assistant", "Added: tea.")],
    ]


def test_output_that_cannot_be_written_ends_the_program_without_a_traceback(data: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            COMMAND, input=b"add milk\n", stdout=full, stderr=subprocess.PIPE, cwd=ROOT, env=environment(data),
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert b"Traceback" not in done.stderr
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment(data)
    ) as program:
        assert program.stdout is not None
        program.stdout.close()
        assert program.wait(20) == 1
        assert program.stderr is not None
        assert program.stderr.read() == b""


def test_users_have_lists_and_conversations_of_their_own(data: Path) -> None:
    piped("add milk\n", data, TODO_USER="ada")
    done = piped("list my tasks\n/history\n", data, TODO_USER="eve")
    assert "milk" not in done.stdout
    assert "Going on" not in done.stdout
    assert (titles(data, "ada"), titles(data, "eve")) == (["milk"], [])


def test_help_says_what_the_program_takes_and_needs_no_data(data: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--help"], capture_output=True, text=True, cwd=ROOT, env=environment(data), timeout=60, check=False
    )
    assert done.returncode == 0
    for word in ("TODO_DATA", "OPENAI_API_KEY", "OPENAI_BASE_URL", "/history"):
        assert word in done.stdout
    assert not data.exists()


def test_a_model_of_a_compatible_server_answers_and_its_tools_are_the_real_ones(data: Path) -> None:
    replies: list[Reply] = [Answer(tool_calls=(Call("add_task", {"title": "milk"}),)), Answer("Milk is on your list.")]
    with OpenAIServer() as server:
        server.script(replies)
        done = piped("I drank all the milk\n", data, **openai(server))
        assert [request.body["model"] for request in server.requests] == ["test-model"] * 2
    assert (done.returncode, done.stderr) == (0, "")
    assert "Basic mode" not in done.stdout
    assert done.stdout.endswith("Milk is on your list.\n")
    assert titles(data) == ["milk"]


def test_the_service_starts_and_ends_with_ctrl_c(data: Path) -> None:
    port = free_port()
    with Terminal([*COMMAND, "--serve", "--port", str(port)], cwd=ROOT, env=environment(data)) as terminal:
        terminal.see(f"Serving http://127.0.0.1:{port}")
        assert answers(f"http://127.0.0.1:{port}/health")
        terminal.press(CTRL_C)
        assert terminal.end() == 0
    assert (data / "todo.db").exists()


def answers(url: str) -> bool:
    """Ask until somebody answers, 20 seconds at most."""
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(url, timeout=20).status_code == 200
        time.sleep(0.05)
    return False


def test_a_model_can_be_told_its_temperature(data: Path) -> None:
    with OpenAIServer() as server:
        server.script([Answer("Yes.")])
        done = piped("Hello\n", data, **openai(server), TODO_TEMPERATURE="0")
        assert [request.body["temperature"] for request in server.requests] == [0]
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_over_the_window_of_a_small_model_is_never_sent(data: Path) -> None:
    with OpenAIServer() as server:
        done = piped("Hello\n", data, **openai(server), TODO_WINDOW="100")
        assert server.requests == []
    assert done.returncode == 1
    assert len(errors(done)) == 1


def test_a_setting_that_is_no_number_is_one_clear_error(data: Path) -> None:
    done = piped("add milk\n", data, TODO_TEMPERATURE="warm")
    assert done.returncode == 2
    assert "TODO_TEMPERATURE" in errors(done)[0]


@pytest.mark.parametrize("name", ["TODO_TEMPERATURE", "TODO_WINDOW"])
@pytest.mark.parametrize("text", ["warm", "-1", "inf", "nan"])
def test_numbers_are_finite_and_not_negative(data: Path, name: str, text: str) -> None:
    with pytest.raises(SettingsError):
        read_settings({"TODO_DATA": str(data), name: text})


def test_a_compatible_server_needs_the_name_of_a_model(data: Path) -> None:
    done = piped("add milk\n", data, OPENAI_API_KEY="test", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 2
    assert "OPENAI_MODEL" in errors(done)[0]


def test_a_wrong_key_is_one_clear_error_a_message(data: Path) -> None:
    with OpenAIServer(Behaviour(api_key="right")) as server:
        done = piped("add milk\nadd tea\n", data, **openai(server))
    assert done.returncode == 1
    assert len(errors(done)) == 2


def test_a_server_that_is_not_there_leaves_basic_mode(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    done = piped(
        "add milk\n", data, OPENAI_API_KEY="k", OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1", OPENAI_MODEL="m"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Basic mode" in done.stdout
    assert titles(data) == ["milk"]


def interrupt_prompt(terminal: Terminal, sign: str) -> None:
    """Press Ctrl-C until the program shows `sign`.

    The line editor of Python shows its prompt a moment before it listens for signals; one that comes in between counts
    when the next key is pressed, and both count as one.
    """
    terminal.see("> ")
    for _ in range(4):
        terminal.press(CTRL_C)
        if terminal.sees(sign, within=5.0):
            return
    terminal.see(sign)


def test_ctrl_c_at_the_prompt_leaves_at_the_second_time(data: Path) -> None:
    with Terminal(COMMAND, cwd=ROOT, env=environment(data)) as terminal:
        interrupt_prompt(terminal, "Ctrl-C again leaves")
        terminal.see("> ")
        terminal.type("add milk")
        terminal.see("Added: milk.")
        interrupt_prompt(terminal, "Ctrl-C again leaves")
        interrupt_prompt(terminal, "Goodbye.")
        assert terminal.end() == 0
    assert titles(data) == ["milk"]


def test_ctrl_d_leaves_and_the_next_start_goes_on(data: Path) -> None:
    with Terminal(COMMAND, cwd=ROOT, env=environment(data)) as terminal:
        terminal.see("> ")
        terminal.type("add milk")
        terminal.see("Added: milk.")
        terminal.see("> ")
        terminal.press(CTRL_D)
        assert terminal.end() == 0
    with Terminal(COMMAND, cwd=ROOT, env=environment(data)) as terminal:
        terminal.see("Going on with the conversation")
        terminal.see("> ")
        terminal.type("mark it as done")
        terminal.see("Done: milk.")
        terminal.type("/history")
        terminal.see("Added: milk.")
        terminal.see("Done: milk.")
        terminal.type("/quit")
        assert terminal.end() == 0


def test_ctrl_c_stops_a_turn_and_not_the_program(data: Path) -> None:
    with OpenAIServer() as server:
        server.script([Hang(60.0, after_events=5, answer=Answer("one two three", pieces=3)), Answer("Here I am.")])
        with Terminal(COMMAND, cwd=ROOT, env=environment(data, **openai(server))) as terminal:
            terminal.see("> ")
            terminal.type("tell me a story")
            terminal.see("one")
            terminal.press(CTRL_C)
            terminal.see("(stopped)")
            assert server.wait_for_departures(1, 10.0)
            terminal.see("> ")
            terminal.type("are you there?")
            terminal.see("Here I am.")
            terminal.type("/history")
            terminal.see("(cancelled)")
            terminal.type("/quit")
            assert terminal.end() == 0


def test_an_interrupt_ends_a_pipe_and_closes_the_turn(data: Path) -> None:
    asked = Event()

    def hang(_: Request) -> Reply:
        asked.set()
        return Hang(60.0)

    with OpenAIServer(script=hang) as server:
        program = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment(data, **openai(server))
        )
        with program:
            assert program.stdin is not None
            program.stdin.write(b"hello\nadd milk\n")
            program.stdin.flush()
            assert asked.wait(20.0)
            program.send_signal(signal.SIGINT)
            shown, _ = program.communicate(timeout=20)
        assert program.returncode == 130
        assert b"(stopped)" in shown
        assert len(server.requests) == 1


def test_a_program_that_was_killed_goes_on_where_it_was(data: Path) -> None:
    asked = Event()
    replies: Iterator[Reply] = iter([
        Answer(tool_calls=(Call("add_task", {"title": "milk"}),)),
        Hang(60.0),
        Answer("Milk is on your list."),
        Answer("Nothing else."),
    ])  # fmt: skip

    def reply(_: Request) -> Reply:
        answer = next(replies)
        if isinstance(answer, Hang):
            asked.set()
        return answer

    with OpenAIServer(script=reply) as server:
        with Terminal(COMMAND, cwd=ROOT, env=environment(data, **openai(server))) as terminal:
            terminal.see("> ")
            terminal.type("milk, please")
            assert asked.wait(20.0)
            terminal.process.kill()
            terminal.end()
        done = piped("what else?\n/history\n", data, **openai(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing else." in done.stdout
    assert "Milk is on your list." in done.stdout.partition("> /history")[2]
    assert titles(data) == ["milk"]
