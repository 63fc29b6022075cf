"""The code of the pages in docs/ runs, and prints what the pages say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "docs"
PRINTED = {
    "getting_started": """\
It says: rain in Oslo for 1 days.
[('weather', '{"city": "Oslo"}', 'ok')]
Rain in Oslo? -> It says: rain in Oslo for 1 days.
[weather {'city': 'Rome', 'days': 3}]
It says: rain in Rome for 3 days.
(2 requests)
It says: rain in Oslo for 1 days.
""",
    "tools": """\
convert | ok | 30.00 NOK
convert | error | The arguments do not fit the tool: amount: Input should be a valid number, unable to parse string as \
a number; to: Input should be 'EUR' or 'NOK'. Correct them and call it again.
price | ok | {"total":5.0,"discount":0.0}
price | error | The arguments do not fit the tool: lines.0.count: Input should be greater than or equal to 1. Correct \
them and call it again.
pay | ok | paid 20.0 for ann, key of 64 letters
pay | error | Payments above 100 need a new sign-in. Ask the user to sign in.
chart | ok | Temperatures in Oslo: | image
find | ok | here
send | ok | shop@example.org to ann@example.org: Hello
""",
    "approval": """\
waiting [('delete_account', '{"name": "Bob"}')]
Bob's account is deleted.
""",
    "errors": """\
400 the message is empty: give it text, an image or a file
503 Try again in 7 s.
502 The model m cannot answer now.
""",
    "events": """\
> weather {'city': 'Oslo'}
< weather ok: rain in Oslo
again, attempt 2: scripted: overloaded
+ It
+  will
+\x20\x20
failed: scripted: the answer was cut off
raised: scripted: the answer was cut off
""",
}


def test_every_example_of_the_pages_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_its_page_says(name: str) -> None:
    command = [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == PRINTED[name]
