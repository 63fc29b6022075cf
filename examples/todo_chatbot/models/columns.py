"""Columns that several tables have."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import TypeDecorator

_LARGEST_ID = 2**31 - 1  # of Postgres' integer


def is_id(number: int) -> bool:
    """Tell whether a row may have this number; the drivers refuse others."""
    return 0 < number <= _LARGEST_ID


def nearest_id(number: int) -> int:
    """Return a number that a row may have, to compare with."""
    return max(0, min(number, _LARGEST_ID))


class UTCDateTime(TypeDecorator[datetime]):
    """A moment. SQLite keeps no time zone, so what comes back is marked as what it is: UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Send UTC to the database."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Return a moment with its time zone."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)
