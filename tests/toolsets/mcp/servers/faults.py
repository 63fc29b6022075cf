"""A server whose one tool does what it is told, by the argument `do`, over stdio; and the words of all such servers."""

import json
import os
import subprocess
import sys
import time
from typing import Any

LARGE = 20_000_000
VERSION = "2025-11-25"
TOOL: dict[str, Any] = {"name": "act", "inputSchema": {"type": "object"}}


def large() -> str:
    return "x" * LARGE


def child() -> str:
    """Leave a child behind, as servers do that are started by a shell."""
    line = [sys.executable, "-c", "import time; time.sleep(1000)"]
    return str(subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid)


def pid() -> str:
    return str(os.getpid())


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer of a server in good order; None to what has none."""
    if "id" not in message:
        return None
    match message["method"]:
        case "initialize":
            result: dict[str, Any] = {
                "protocolVersion": VERSION,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "faults", "version": "1"},
            }
        case "tools/list":
            result = {"tools": [TOOL]}
        case "tools/call":
            text = {"large": large, "child": child}.get(done(message), pid)()
            result = {"content": [{"type": "text", "text": text}]}
        case other:
            error = {"code": -32601, "message": f"{other} is not known"}
            return {"jsonrpc": "2.0", "id": message["id"], "error": error}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def done(message: dict[str, Any]) -> str:
    """What a message asks the tool to do."""
    if message.get("method") != "tools/call":
        return ""
    return message["params"]["arguments"].get("do", "")


def main(mode: str) -> None:
    if mode == "slow":
        time.sleep(0.7)
    for line in sys.stdin:
        message = json.loads(line)
        if not (meets(mode, message.get("method")) or breaks(message)):
            reply = answer(message)
            if reply is not None:
                say(json.dumps(reply))


def meets(mode: str, method: str | None) -> bool:
    """Meet a new client in the way of `mode`; tells whether that is all there is to say."""
    match mode, method:
        case "dies", "initialize":
            sys.stderr.write("no licence\n")
            sys.exit(3)
        case "silent", "server/discover":
            return True
        case "anonymous", "server/discover":
            say(json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "what?"}}))
            return True
        case "wedged", "server/discover":
            time.sleep(1000)
        case _:
            pass
    return False


def breaks(message: dict[str, Any]) -> bool:
    """Do what a call asks for; tells whether that was all."""
    match done(message):
        case "hang":
            return True
        case "drop":
            os._exit(1)
        case "half":
            sys.stdout.write(json.dumps(answer(message))[:40])
            sys.stdout.flush()
            os._exit(1)
        case "malformed":
            say(json.dumps(answer(message))[:-20])
            return True
        case _:
            return False


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
