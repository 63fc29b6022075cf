"""What the errors of Redis and of redis-py mean to somebody who keeps journals there."""

from typing import Final

from assistant_kit.errors import StoreCorrupt
from assistant_kit.redis_failures import Advice

ADVICE: Final = Advice(
    rights="allow this user the commands and the keys of the store (ACL SETUSER)",
    theirs="another program's data stands under the store's keys: give another prefix. It was left as it is",
    doubt="what was under way may have taken place or not: do it again",
    soon="try again in a moment",
    more={"DAMAGED": (StoreCorrupt, "keys of the store were deleted or evicted: put back a backup")},
)
