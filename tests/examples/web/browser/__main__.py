"""Runs all browser tests: `python -m tests.examples.web.browser [PYTEST ARGUMENTS]`.

Screenshots of each page, at 360 and 1280 pixels, light and dark, go to the folder that SCREENSHOTS names.
"""

import sys
from pathlib import Path

import pytest

FILES = ("chat.py", "connection.py", "files.py", "looks.py")


def main() -> int:
    """Run them: 0 when all is well."""
    return pytest.main([*(str(Path(__file__).parent / name) for name in FILES), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
