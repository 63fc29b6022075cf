"""How a log in Redis speaks to its server, and what its errors mean."""

from collections.abc import Iterable
from typing import Any, Final

from assistant_kit.errors import MissingDependency

try:
    import redis as _  # noqa: F401  (what follows needs it)
except ImportError as _missing:
    raise MissingDependency("redis", "redis") from _missing

from assistant_kit.redis_address import Wire
from assistant_kit.redis_failures import Advice

ADVICE: Final = Advice(rights="allow this user the commands, keys and channels that docs/streaming.md lists")


def send(wire: Wire, commands: Iterable[tuple[Any, ...]]) -> None:
    """Send commands at once."""
    wire.send_packed_command(wire.pack_commands(commands), check_health=False)
