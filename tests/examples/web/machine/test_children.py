import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from examples.flask_demo.machine.children import Child, ChildFailed, Children, Program
from examples.flask_demo.machine.servers import free_ports, postgres_server, redis_server

STAYING = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAYING}"
FAILING = "print('no disk left'); raise SystemExit(3)"


def program(folder: Path, code: str = STAYING, *, name: str = "one") -> Program:
    sign = folder / f"{name}.sign"
    return Program(
        name=name,
        command=(sys.executable, "-Sc", code, str(sign)),
        answers=sign.exists,
        log=folder / f"{name}.log",
        environment={"OURS": "1"},
        hidden=("HIDDEN_",),
    )


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(pid: int) -> None:
    patience_ends = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < patience_ends
        time.sleep(0.01)


def test_programs_run_inside_the_block_and_no_longer(tmp_path: Path) -> None:
    with Children() as children:
        children.start(program(tmp_path), program(tmp_path, name="two"))
        pids = [children["one"].pid, children["two"].pid]
        assert all(is_running(pid) for pid in pids)
    assert not any(is_running(pid) for pid in pids)


def test_what_does_not_start_is_told_with_its_log_and_the_others_end(tmp_path: Path) -> None:
    with Children() as children:
        children.start(program(tmp_path))
        first = children["one"].pid
        with pytest.raises(ChildFailed, match="no disk left"):
            children.start(program(tmp_path, FAILING, name="two"))
    assert not is_running(first)


def test_what_does_not_answer_in_time_has_not_started(tmp_path: Path) -> None:
    silent = program(tmp_path, "import time; time.sleep(600)")
    child = Child(silent)
    try:
        with pytest.raises(ChildFailed):
            child.wait(0.2)
        child.wait(until=lambda: True)  # somebody wants an end: this is no failure
    finally:
        child.stop()


def test_what_was_killed_is_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    with Children() as children:
        children.start(program(tmp_path))
        first = children["one"].pid
        children.mend(told.append)
        assert told == []

        children["one"].signal(signal.SIGKILL)
        ended_child = children["one"]
        while not ended_child.has_ended:
            time.sleep(0.01)
        children.mend(told.append)

        assert children["one"].pid != first
        assert told == ["one ended by SIGKILL: it is started again"]


def test_what_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    child = Child(program(tmp_path, FAILING))

    def end_for_ever() -> None:
        while True:
            while not child.has_ended:
                time.sleep(0.01)
            child.start_again()

    with pytest.raises(ChildFailed, match="status 3"):
        end_for_ever()


def test_who_does_not_listen_is_ended_by_force(tmp_path: Path) -> None:
    child = Child(program(tmp_path, DEAF))
    child.wait()
    child.stop(0.2)
    assert child.status == "ended by SIGKILL"


def test_a_program_is_told_its_own_variables_and_not_the_hidden_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIDDEN_KEY", "secret")
    monkeypatch.setenv("SEEN", "yes")
    shown = program(tmp_path, "import os; print({n: os.environ.get(n) for n in ('OURS', 'SEEN', 'HIDDEN_KEY')})")
    child = Child(shown)
    while not child.has_ended:
        time.sleep(0.01)
    assert child.log_end() == "{'OURS': '1', 'SEEN': 'yes', 'HIDDEN_KEY': None}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_programs_end_with_the_one_who_started_them_even_if_that_was_killed(tmp_path: Path) -> None:
    starting = f"""
import sys, time
from pathlib import Path
from tempfile import TemporaryDirectory
from examples.flask_demo.machine.children import Children
from tests.examples.web.machine.test_children import program
with Children() as children:
    children.start(program(Path({str(tmp_path)!r})))
    print(children["one"].pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", starting], stdout=subprocess.PIPE, cwd=Path.cwd()) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    ended(pid)


def test_the_servers_that_come_along_answer_and_keep_what_they_have(tmp_path: Path) -> None:
    one, other = free_ports(2)
    with TemporaryDirectory(prefix="web-postgres-", dir="/tmp") as reachable:  # by the user as whom Postgres runs
        Path(reachable).chmod(0o711)
        for _ in range(2):
            with Children() as children:
                children.start(
                    redis_server(tmp_path / "redis", one, tmp_path / "redis.log"),
                    postgres_server(Path(reachable) / "postgres", other, tmp_path / "postgres.log"),
                )
