"""Addresses: of e-mail, of machines (IP), and URLs that hold a password."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from assistant_kit.maskers.rules.recogniser import ShapeRecogniser, before_it
from assistant_kit.maskers.rules.shapes import chars, sequence, word

_LOCAL: Final = 64
_DOMAIN: Final = 253
"""Characters of the parts of an address of e-mail (RFC 5321, 4.5.3.1)."""

_LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}\.){{1,20}}(?:xn--[a-z0-9-]{{1,59}}|[^\W\d_]{{2,63}})(?![^\W_])", re.IGNORECASE)

_IPV4: Final = 15
_IPV6: Final = 45
_LEAST_IPV6: Final = 4  # digits of an address: fewer have ::1, and 2::b of a program
_MORE: Final = re.compile(r"\w|-[^\W\d]")  # behind an address: then it is a version, 1.2.3.4-beta; a range is none
_VERSION: Final = re.compile(
    r"(?:\b(?:version|ver\.?|release|build|section|chapter|v\.?)|§)[ :=]{0,2}\Z", re.IGNORECASE
)

_LOGIN: Final = 512
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*\Z", re.IGNORECASE)


def _email(text: str, begin: int, end: int) -> tuple[int, int] | None:
    at = text.index("@", begin)
    host = _HOST.match(text, at + 1, end + 1)
    if host is None or text[at - 1] == "." or text.find("..", begin, at) >= 0:
        return None
    return begin, host.end()


def _ipv4(text: str, begin: int, end: int) -> tuple[int, int] | None:
    stop = begin + len(text[begin:end].rstrip("."))
    if _MORE.match(text, end) is not None or _VERSION.search(before_it(text, begin)) is not None:
        return None
    try:
        IPv4Address(text[begin:stop])
    except AddressValueError:
        return None
    return begin, stop


def _ipv6(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Find an address that somebody may have: `::1`, and `a::b` of a program, are none."""
    if text[end : end + 1].isalnum():
        return None
    for stop in (end, end - 1):  # a colon or a full stop behind it is not part of it
        if _is_told_address(text[begin:stop]):
            return begin, stop
    return None


def _is_told_address(text: str) -> bool:
    letters = [letter for letter in text if letter not in ":."]
    if len(letters) < _LEAST_IPV6 or not any(letter.isdigit() for letter in letters):
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _login(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Find name, password and host, if a scheme stands before them and a password between `:` and `@`."""
    user, _, host = text[begin + 3 : end].rpartition("@")
    _, _, password = user.partition(":")
    if not (host and password) or _SCHEME.search(before_it(text, begin)) is None:
        return None
    return begin + 3, end - (len(host) - len(host.rstrip(".,;:!)'")))


def email() -> ShapeRecogniser:
    """Make a recogniser of addresses of e-mail, also with letters beyond ASCII; the domain has a dot."""
    local = sequence(chars(r"\w"), chars(r"\w.+%'-", 0, _LOCAL - 1))
    return ShapeRecogniser("EMAIL", sequence(local, word("@"), chars(r"\w.-", 1, _DOMAIN)), _email)


def ipv4() -> ShapeRecogniser:
    """Make a recogniser of IP addresses of version 4. A version or a section is none, where the word stands before."""
    shape = sequence(chars("0-9", 1, 3), word("."), chars("0-9.", 5, _IPV4 - 3))
    return ShapeRecogniser("IP", shape, _ipv4, before=(r"\w", r"\w\.", r"[^\W\d]-"))


def ipv6() -> ShapeRecogniser:
    """Make a recogniser of IP addresses of version 6."""
    shape = sequence(chars("0-9A-Fa-f:"), chars("0-9A-Fa-f:.", 1, _IPV6 - 1))
    return ShapeRecogniser("IP", shape, _ipv6, before=(r"\w", r"[0-9A-Fa-f]:", r"\."))


def login() -> ShapeRecogniser:
    """Make a recogniser of name, password and host in a URL, as in `postgresql://ann:secret@db.example/chat`."""
    shape = sequence(word("://"), chars(r"^\s/?#<>\x22`", 3, _LOGIN))
    return ShapeRecogniser("URL_LOGIN", shape, _login, before=())
