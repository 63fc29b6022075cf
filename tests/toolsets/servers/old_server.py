"""A server of the first generation: it knows the handshake and two methods, and exits on anything else."""

import json
import sys
from typing import Any

TOOL = {"name": "echo", "description": "Say it again.", "inputSchema": {"type": "object"}}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            about = {"name": "old", "version": "1"}
            return {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            return {"content": [{"type": "text", "text": json.dumps(params["arguments"])}]}
        case "notifications/initialized":
            return None
        case _:
            print("unknown method", method, file=sys.stderr, flush=True)
            sys.exit(4)


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        result = answer(message["method"], message.get("params", {}))
        if result is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
