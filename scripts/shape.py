"""Check the length of files (400 lines) and of functions (50 lines).

Names what is longer, and ends with a line: files=… longest_file=… longest_function=…
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 50


def lengths_of_functions(source: str) -> Iterator[tuple[str, int, int]]:
    """Name, first line and number of lines of each function, nested ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> int:
    """Print what is too long; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("src")], help="what to check (default: src)")
    paths = sorted(path for folder in parser.parse_args().folders for path in folder.rglob("*.py"))
    longest_file = longest_function = 0
    for path in paths:
        source = path.read_text(encoding="utf-8")
        lines = len(source.splitlines())
        longest_file = max(longest_file, lines)
        if lines > FILE_LINES:
            print(f"{path}: {lines} lines; at most {FILE_LINES}")
        for name, start, length in lengths_of_functions(source):
            longest_function = max(longest_function, length)
            if length > FUNCTION_LINES:
                print(f"{path}:{start}: {name} has {length} lines; at most {FUNCTION_LINES}")
    print(f"files={len(paths)} longest_file={longest_file} longest_function={longest_function}")
    return int(longest_file > FILE_LINES or longest_function > FUNCTION_LINES)


if __name__ == "__main__":
    sys.exit(main())
