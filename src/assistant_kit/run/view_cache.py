"""Windows of conversations that were used lately, so that a turn need not read and decode them again."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from assistant_kit.view import View

_Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptView:
    """What was shown of a conversation of `seq` records, the last of them `record_id`, written under `fence`."""

    view: View
    fence: int
    seq: int
    record_id: str
    counted_by: str

    def stands(self, fence: int) -> bool:
        """Tell whether nobody can have written since, for who has claimed the conversation with `fence`.

        Every write needs a claim. Giving a lease up makes the fence higher by one, and so does the next claim. Where
        fences go by other steps, the last record tells: its id is random, and records never change.
        """
        return fence - self.fence == _UNDISTURBED


_UNDISTURBED = 2


class ViewCache:
    """Keeps what is shown of conversations, by user and conversation, up to so many tokens together."""

    def __init__(self, tokens: int) -> None:
        self._limit = tokens
        self._tokens = 0
        self._kept: OrderedDict[_Key, KeptView] = OrderedDict()

    def take(self, user: str, conversation: str, *, seq: int, counted_by: str) -> KeptView | None:
        """Return what was shown of a conversation that has `seq` records now; None when nothing of it is kept.

        It is taken out: whoever uses it brings back what has become of it.
        """
        kept = self._kept.pop((user, conversation), None)
        if kept is None:
            return None
        self._tokens -= kept.view.tokens
        return kept if (kept.seq, kept.counted_by) == (seq, counted_by) else None

    def keep(self, user: str, conversation: str, kept: KeptView) -> None:
        """Keep what is shown of a conversation."""
        self.forget(user, conversation)
        if kept.view.tokens > self._limit:
            return
        self._kept[user, conversation] = kept
        self._tokens += kept.view.tokens
        while self._tokens > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._tokens -= oldest.view.tokens

    def forget(self, user: str, conversation: str | None = None) -> None:
        """Keep nothing of a conversation any more; without it, of a user."""
        names = [key for key in self._kept if key[0] == user] if conversation is None else [(user, conversation)]
        for name in names:
            kept = self._kept.pop(name, None)
            self._tokens -= 0 if kept is None else kept.view.tokens
