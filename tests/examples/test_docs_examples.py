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
export | ok | 2 years are written
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
    "bulkhead": """\
-- somebody asks, and waits for the answer
report 4: not now: 2 run, 2 wait
-- one more report
report 5: not now: 2 run, 2 wait
-- bulkhead other:summaries: overloaded, 2 run, waiting {'interactive': 1, 'background': 1}
report 1: summary of report 1
report 2: summary of report 2
question: summary of question
report 3: summary of report 3
""",
    "streaming": "Yes, and wind.\n",
    "rate_limits": """\
Hello.
Hello again.
Busy: try again in 1 minute.
rate limit model:scripted ok 0 of 2
['found', 'found', 'found']
[496]
""",
    "resilience": """\
model:first (read)
  quota: a day's requests: up to 1 of 1000 requests per day
  bulkhead: 50 at once of model:first, 100 may wait for up to 30 s
  fallback: after outage, overflow, rate_limit: rules
  retry: up to 2 attempts, pauses up to 8 s
  rate limit: 500 requests and 200,000 tokens a minute; calls wait for their turn
  circuit breaker: closed for model:first; opens when 50% of at least 20 calls fail, for 5 to 60 s
  timeouts: first token 30 s, silence 30 s
tool:pay (once)
  retry: never, as a second call might do harm
  circuit breaker: closed for tool:pay; opens when 50% of at least 20 calls fail, for 5 to 60 s
rules instead of first: outage
I cannot answer now. Please try again later.
True
quota a day's requests: ok
bulkhead model:first: free
retry budget: ok
rate limit model:first: ok
rate limit model:rules: ok
breaker model:first: closed
breaker model:rules: closed
data
bulkhead model:scripted: free -> waiting
scripted is busy (queue): please wait
bulkhead model:scripted: waiting -> free
a good answer
a short one
""",
    "circuit_breaker": """\
no connection
no connection
other:warehouse: closed -> open, of 3 calls 3 failed and 0 were slow
no connection
closed for a while, try again in a moment
closed for a while, try again in a moment
asked 3 times
open 3 of 3
other:warehouse: open -> half_open, its time is over: calls try whether it works again
other:warehouse: half_open -> closed, it works
7 in stock
""",
    "hedging": """\
Here is your answer.
2 requests, all of it known: False
hedge model:scripted (not streamed): ready {'made': 1, 'won': 1, 'delay': 0.05}
""",
    "observability": """\
{"event": "model_call_ended", "model": "openai:gpt-5.6-luna", "status": "error", "error": "ModelUnavailable"}
{"event": "call_retried", "error": "ModelUnavailable", "attempt": 2}
{"event": "model_call_ended", "model": "openai:gpt-5.6-luna", "status": "ok"}
{"event": "tool_call_ended", "tool": "weather", "outcome": "ok"}
{"event": "tool_answered", "tool": "weather", "outcome": "ok"}
{"event": "model_call_ended", "model": "openai:gpt-5.6-luna", "status": "ok"}
{"event": "run_ended", "model": "openai:gpt-5.6-luna", "status": "completed"}
It rains in Oslo.
assistant_model_calls_total{model="openai:gpt-5.6-luna",status="error",error="ModelUnavailable"} 1
assistant_model_calls_total{model="openai:gpt-5.6-luna",status="ok",error=""} 2
assistant_tokens_total{model="openai:gpt-5.6-luna",type="input"} 200
assistant_tokens_total{model="openai:gpt-5.6-luna",type="output"} 20
assistant_tokens_total{model="openai:gpt-5.6-luna",type="cached"} 0
assistant_tokens_total{model="openai:gpt-5.6-luna",type="reasoning"} 0
assistant_tool_calls_total{tool="weather",outcome="ok"} 1
{'openai:gpt-5.6-luna': 74000}
""",
    "quotas": """\
ann 200 Hello.
ann 200 Hello.
ann 200 Hello.
ann 429 0 requests are left of requests.
bob 200 Hello.
requests: 3 requests used, 0 left
tokens: 129 tokens used, 199871 left
spending: 320000 nanodollars used, 499999680000 left
""",
    "events": """\
> weather {'city': 'Oslo'}
< weather ok: rain in Oslo
again, attempt 2: scripted: overloaded
+ It
+  will
+\x20\x20
- It will\x20
failed: scripted: the answer was cut off
raised: scripted: the answer was cut off
""",
}


ASKED_FOR = {"mcp_features", "mcp_oauth", "openai_agents"}
"""Run elsewhere: with servers by test_mcp_pages.py, beside its SDK by tests/integrations/openai_agents."""


def test_every_example_of_the_pages_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PRINTED, *ASKED_FOR}


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_its_page_says(name: str) -> None:
    command = [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == PRINTED[name]
