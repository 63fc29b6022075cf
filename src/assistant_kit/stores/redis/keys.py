"""How keys look, and what keeps them together in a cluster.

Users are spread over 32 shards by a hash of their names. All keys of a shard have the same hash tag, so that everything
of a user, and the lists across the users of a shard, lies in one slot of a cluster. So each operation is one script in
one slot: the lists of users and of unfinished turns change together with the conversation, and an audit chain passes to
a made-up user of the same shard, all or nothing. Who looks for unfinished turns asks 32 short lists.

With the prefix `assistant_kit` and 17 as the tag of a shard:

    assistant_kit:{17}                          hash: version of this layout, time of the last write, audit or not
    assistant_kit:{17}:users                    sorted set: the users
    assistant_kit:{17}:state:STATE              sorted set: USER:CONVERSATION by time of the last write
    assistant_kit:{17}:conversation:USER:NAME   hash: lease, length, state, title, segment
    assistant_kit:{17}:list:USER                sorted set: NAME by time of the last write
    assistant_kit:{17}:records:USER:SEGMENT     list: the records
    assistant_kit:{17}:ids:USER:SEGMENT         hash: the seq of each record by its id
    assistant_kit:{17}:segment:USER:SEGMENT     hash: parent, base, refs; only of segments that have to do with forks
    assistant_kit:{17}:links:USER               list: the audit chain
    assistant_kit:{17}:payloads:USER            list: what the links stand for, until the user is erased

USER and NAME are as given, except that `%` is `%25` and `:` is `%3A`. Braces in them do no harm: the tag of a key is
what stands in its first braces. Times are microseconds since 1970. No key ever expires.
"""

from binascii import crc_hqx
from itertools import count
from typing import Final

from assistant_kit.errors import ConfigurationError

SHARDS: Final = 32
"""May never change: it says where each user's keys are."""

_SLOTS: Final = 16384


def _slot(name: bytes) -> int:
    """Return what Redis makes of a hash tag (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/)."""
    return crc_hqx(name, 0) % _SLOTS


def _tag(shard: int) -> str:
    """Return the first number whose slot lies in a shard's part of the slots: nodes of a cluster get equal parts."""
    return next(str(n) for n in count() if _slot(b"%d" % n) * SHARDS // _SLOTS == shard)


_TAGS: Final = tuple(_tag(shard) for shard in range(SHARDS))


def shard_of(user: str) -> int:
    """Return the shard of a user."""
    return _slot(user.encode()) * SHARDS // _SLOTS


def roots(prefix: str) -> tuple[str, ...]:
    """Return the root key of each shard. Raises ConfigurationError for a prefix that cannot begin a key."""
    if not prefix or "{" in prefix or "}" in prefix or not prefix.isprintable():
        raise ConfigurationError(f"prefix {prefix!r} cannot begin keys: give printable characters without braces")
    return tuple(f"{prefix}:{{{tag}}}" for tag in _TAGS)


def escaped(name: str) -> str:
    """Return a name as it stands in keys."""
    return name.replace("%", "%25").replace(":", "%3A")


def unescaped(name: str) -> str:
    """Return the name that stands in a key as `name`."""
    return name.replace("%3A", ":").replace("%25", "%")
