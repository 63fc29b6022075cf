"""A server of the first generation: it knows the handshake and two methods, and exits on anything else."""

import json
import os
import sys
from typing import Any

ABOUT: dict[str, int] = {}
TOOLS: list[dict[str, Any]] = [
    {"name": "echo", "description": "Say it again.", "inputSchema": {"type": "object"}},
]


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            about = {"name": "old", "version": "1"}
            return {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call":
            if "grow" in params["arguments"]:
                TOOLS.append({**TOOLS[0], "name": "grown"})
                for what in ("resources", "tools"):
                    say({"jsonrpc": "2.0", "method": f"notifications/{what}/list_changed"})
            return {"content": [{"type": "text", "text": json.dumps({**params["arguments"], **ABOUT})}]}
        case "notifications/initialized" | "notifications/cancelled":
            return None
        case _:
            sys.exit(f"unknown method {method}")


def main() -> None:
    ABOUT["pid"] = os.getpid()
    for line in sys.stdin:
        message = json.loads(line)
        result = answer(message["method"], message.get("params", {}))
        if result is not None:
            say({"jsonrpc": "2.0", "id": message["id"], "result": result})


if __name__ == "__main__":
    main()
