"""Texts that keep a masker as busy as can be, and how many steps they take.

`python -m tests.maskers.rules.hostile` makes a million characters of each (some minutes) and prints the steps for each
character. They are bounded, and do not grow with the text.
"""

import sys

from assistant_kit.maskers.rules import standard
from assistant_kit.maskers.rules.pseudonyms import pseudonym
from assistant_kit.maskers.rules.scanner import Scanner, Search

ENDLESS = {
    "letters": "a",
    "words with dots": "a.",
    "addresses": "ann@example.org,",
    "digits": "7",
    "digits with blanks": "4 ",
    "groups of digits": "1111 ",
    "groups of letters and digits": "DE12 ",
    "tokens": "eyJhbGciOiJIUzI1NiJ9.",
    "beginnings of keys": "-----BEGIN PRIVATE KEY-----",
    "a key without an end": "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n",
    "colons": "a:",
    "ats": "a@",
    "plus signs": "+1 ",
    "schemes": "a://",
    "passwords": "password=",
    "bearers": "bearer ",
    "pseudonyms": "<A",
    "orders": "ORD-1",
}
"""What a text may be made of, over and over, by somebody who wants to keep a masker busy."""

MOST = 400
"""Steps for each character, at most."""


def steps(search: Search, text: str) -> int:
    """Count the calls, Python's and C's, that finding all values in a text takes."""
    count = 0

    def tally(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    scanner = Scanner(search)
    sys.setprofile(tally)
    try:
        scanner.feed(text)
        scanner.finish()
    finally:
        sys.setprofile(None)
    return count


def main() -> int:
    """Print a line for each text; return 1 when one takes too many steps."""
    search = Search(standard(), above=pseudonym())
    failed = False
    for name, unit in ENDLESS.items():
        short, long = (steps(search, unit * (size // len(unit))) / size for size in (10_000, 1_000_000))
        failed = failed or long > MOST or long > 1.2 * short + 1
        sys.stdout.write(f"{name:<30} {short:>7.2f} {long:>7.2f}\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
