"""What a quota has counted of a user, as it is exported: a pure function of a value in a shared place."""

from base64 import b64encode

from assistant_kit.errors import StoreError
from assistant_kit.messages import JsonObject
from assistant_kit.policies._reservations import LENGTHS, Window, opened, window


def told(key: str, value: bytes) -> JsonObject:
    """Return what a value says: of which quota and window, what is used, and what is reserved until when.

    Times are in seconds since 1970. A value that cannot be read, or is no quota's, is given as it is, in base64.
    """
    match key.split("/", 3):
        case ["quota", unit, length, quota] if length in LENGTHS or length == "month" or length.isdecimal():
            try:
                return {"quota": quota, "unit": unit, **_counted(value, _window(length))}
            except StoreError:
                pass
        case _:
            pass
    return {"base64": b64encode(value).decode()}


def _window(length: str) -> Window:
    match length:
        case "minute" | "hour" | "day" | "month":
            return length
        case _:
            return int(length)


def _counted(value: bytes, length: Window) -> JsonObject:
    book = opened(value, length, 0.0)  # 1970 is before any window: it is the one of the value
    return {
        "window": length,
        "begins": book.start,
        "resets": window(length, book.start)[1],
        "used": book.used,
        "reserved": [{"amount": amount, "until": until / 1000} for amount, until in book.held.values()],
    }
