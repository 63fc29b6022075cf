"""Keys and tokens that open something: whoever reads them has what they open."""

import re
from base64 import urlsafe_b64decode
from typing import Final

from assistant_kit.maskers.rules.recogniser import ShapeRecogniser
from assistant_kit.maskers.rules.shapes import Shape, chars, either, repeated, sequence, word

_TOKEN: Final = 8192
_KEY_BLOCK: Final = 16_384
_LABEL: Final = 32
_SHORTEST_BEARER: Final = 8
_LONGEST_PASSWORD: Final = 256
_NAMES: Final = r"A-Za-z0-9_-"

_API_KEYS: Final = (
    ("sk-", r"A-Za-z0-9_-", 20),
    ("sk_live_", r"A-Za-z0-9", 16),
    ("sk_test_", r"A-Za-z0-9", 16),
    ("rk_live_", r"A-Za-z0-9", 16),
    ("whsec_", r"A-Za-z0-9+/=", 16),
    ("ghp_", r"A-Za-z0-9", 30),
    ("gho_", r"A-Za-z0-9", 30),
    ("ghu_", r"A-Za-z0-9", 30),
    ("ghs_", r"A-Za-z0-9", 30),
    ("ghr_", r"A-Za-z0-9", 30),
    ("github_pat_", r"A-Za-z0-9_", 30),
    ("glpat-", r"A-Za-z0-9_.-", 20),
    ("xoxb-", r"A-Za-z0-9-", 10),
    ("xoxp-", r"A-Za-z0-9-", 10),
    ("xoxa-", r"A-Za-z0-9-", 10),
    ("xoxs-", r"A-Za-z0-9-", 10),
    ("AKIA", r"A-Z0-9", 16),
    ("ASIA", r"A-Z0-9", 16),
    ("AIza", _NAMES, 35),
    ("SG.", r"A-Za-z0-9_.-", 40),
    ("npm_", r"A-Za-z0-9", 36),
    ("pypi-", _NAMES, 40),
    ("hf_", r"A-Za-z0-9", 30),
    ("dop_v1_", r"a-f0-9", 64),
)
"""How keys of well-known services begin, the letters of the rest, and how many there are at least."""

_LONGEST_API_KEY: Final = 512
_CAMEL: Final = re.compile(r"[0-9]|[a-z][A-Z]|=\Z")  # what letters of a key have, and words have not
_VALUE: Final = re.compile(r"(?<=[:=\s\x22'])[^\s\x22':=][^\s\x22']*\Z")
_KEY_LINE: Final = re.compile(r"[A-Za-z0-9+/=]{32}")


def _api_key_of(prefix: str, letters: str, least: int) -> Shape:
    return sequence(word(prefix), chars(letters, least, _LONGEST_API_KEY))


def _trimmed(text: str, begin: int, end: int) -> int:
    return begin + len(text[begin:end].rstrip(".-"))


def _api_key(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Find a key: one without a digit is a name, such as sk-learn-compatible-estimators."""
    has_digit = any(letter.isdigit() for letter in text[begin:end])
    return (begin, _trimmed(text, begin, end)) if has_digit else None


def _jwt(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Find a token whose first part is a JSON object that names an algorithm (RFC 7519, RFC 7515 section 4)."""
    stop = _trimmed(text, begin, end)
    head, dot, _ = text[begin:stop].partition(".")
    if not dot:
        return None
    try:
        header = urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except ValueError:
        return None
    return (begin, stop) if b'"alg"' in header else None


def _bearer(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Find the token behind the word, unless it is a word of a sentence."""
    first = text.rindex(" ", begin, end) + 1
    stop = _trimmed(text, first, end)
    return (first, stop) if _CAMEL.search(text, first, stop) is not None else None


def _named(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Find the value behind a name such as `password=`; one without a digit may be a word about it."""
    value = _VALUE.search(text, begin, end)
    if value is None or not any(letter.isdigit() for letter in value[0]):
        return None
    return value.start(), begin + len(text[begin:end].rstrip(".!?)"))


def _key_block(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Find a key of which there is at least a part of a line."""
    return (begin, end) if _KEY_LINE.search(text, begin, end) is not None else None


def api_key() -> ShapeRecogniser:
    """Make a recogniser of keys of well-known services, by how they begin."""
    shapes = [_api_key_of(*each) for each in _API_KEYS]
    return ShapeRecogniser("API_KEY", either(*shapes), _api_key, before=(r"\w", r"\w-"))


def jwt() -> ShapeRecogniser:
    """Make a recogniser of JSON Web Tokens, signed or encrypted."""
    shape = sequence(word("eyJ"), chars(r"A-Za-z0-9_.=-", 10, _TOKEN))
    return ShapeRecogniser("JWT", shape, _jwt, before=(r"\w", r"\w[.-]"))


def bearer() -> ShapeRecogniser:
    """Make a recogniser of what stands behind `Bearer` or `Basic` in a header."""
    scheme = either(word("bearer"), word("basic"))
    shape = sequence(scheme, chars(" ", 1, 4), chars(r"A-Za-z0-9._~+/=-", _SHORTEST_BEARER, _TOKEN))
    return ShapeRecogniser("BEARER", shape, _bearer, ignore_case=True)


def named_secret() -> ShapeRecogniser:
    """Make a recogniser of what stands behind `password=`, `api_key:`, `"client_secret": ` and the like."""
    names = ("password", "passwd", "passphrase", "pwd", "secret", "api_key", "api-key", "apikey", "token")
    quote = chars(r"\x22'", 0, 1)
    equals = sequence(quote, chars(r"\s", 0, 2), chars(":="), chars(r"\s", 0, 2), quote)
    value = chars(r"^\s\x22'<>,;&", 4, _LONGEST_PASSWORD)
    shape = sequence(either(*map(word, names)), equals, value)
    return ShapeRecogniser("SECRET", shape, _named, before=(r"[^\W_]",), ignore_case=True)


def private_key() -> ShapeRecogniser:
    """Make a recogniser of private keys in PEM form (RFC 7468), whole or cut off, also in JSON text."""
    label = chars("A-Z0-9 ", 0, _LABEL)
    mark = sequence(label, word("PRIVATE KEY"), either(word(" BLOCK-----"), word("-----")))
    hyphen = Shape(whole="-(?!-)", begun=r"-?\Z", longest=1)
    body = repeated(either(chars(r"A-Za-z0-9+/=\s\\:,.()@<>"), hyphen), 0, _KEY_BLOCK)
    end = sequence(word("-----END "), mark)
    shape = sequence(word("-----BEGIN "), mark, body, either(end, word("")))
    return ShapeRecogniser("PRIVATE_KEY", shape, _key_block, before=())
