"""What the README of the example shows is what happens."""

import re
import subprocess
from pathlib import Path

from tests.examples.todo.service import quick_app, served, settings_in

README = Path(__file__).parents[4] / "examples" / "todo_chatbot" / "README.md"


def test_the_commands_of_the_readme_answer_as_it_says(tmp_path: Path) -> None:
    text = README.read_text()
    commands, shown = re.findall(r"```(?:bash\nBASE|text)(.*?)\n```", text, re.DOTALL)
    with served(quick_app(settings_in(tmp_path))) as base:
        script = f"set -euo pipefail\nBASE{commands}\n".replace("http://127.0.0.1:8000", base).replace(
            "\ncurl", "\necho; curl"
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=True)  # noqa: S607
    answers = done.stdout.strip().split("\n")
    assert answers[:2] == shown.strip().split("\n")
    assert "event: complete" in answers
    assert '"title":"milk"' in answers[-2]
    assert answers[-1].count('"role":"assistant"') == 3
