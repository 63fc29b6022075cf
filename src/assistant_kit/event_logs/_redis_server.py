"""What a log in Redis asks its server, in groups: scripts that each decide in one step, and their answers.

With the prefix `assistant_kit:events`, of each conversation:

    assistant_kit:events:{USER}:CONVERSATION          stream: entries, each under its id (`17-0`)
    assistant_kit:events:{USER}:CONVERSATION:about    hash: fence, last, mark, start, stop
    assistant_kit:events:{USER}                       sorted set: the user's conversations, by when they are forgotten

All of a user lies in one slot of a cluster. Names are quoted as in addresses of the web, so that none looks like
another. What is written is published as well, on a channel of the stream's name; `…:stop` is the channel for those who
want a turn to be stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Final, TypeVar
from urllib.parse import quote

from redis.exceptions import NoScriptError, RedisError, ResponseError

from assistant_kit.event_logs._redis_wire import send
from assistant_kit.redis_address import Address, Wire
from assistant_kit.worker_thread import Group, Job

T = TypeVar("T")

_CLOCK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function touch(index, name, keep, ...)
  for _, key in ipairs({...}) do redis.call('PEXPIRE', key, keep) end
  redis.call('ZADD', index, whole(now + keep), name)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', whole(now))
  redis.call('PEXPIRE', index, keep)
end
"""

_OPEN: Final = (
    _CLOCK
    + """
local about, events, index = KEYS[1], KEYS[2], KEYS[3]
local name, keep, fence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local got = redis.call('HMGET', about, 'fence', 'last', 'mark')
local last, mark = got[2], got[3]
if tonumber(got[1] or 0) > fence then return {} end
if not last then
  last, mark = whole(now), whole(now)
  redis.call('DEL', events)
  redis.call('HSET', about, 'start', last, 'last', last, 'mark', mark)
end
redis.call('HSET', about, 'fence', whole(fence))
touch(index, name, keep, about, events)
return {last, mark}
"""
)

_APPEND: Final = (
    _CLOCK
    + """
local about, events, index = KEYS[1], KEYS[2], KEYS[3]
local name, keep, most = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local fence, expected, moves = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local count = (#ARGV - 6) / 2
local got = redis.call('HMGET', about, 'fence', 'last', 'mark')
local holder, last, mark = tonumber(got[1] or 0), tonumber(got[2] or -1), got[3]
if holder > fence then return {} end
if holder == fence and last == expected + count then return {whole(last), mark} end
if last ~= expected then
  expected = math.max(last, expected)
  redis.call('DEL', events)
  redis.call('HSET', about, 'start', whole(expected))
  mark = whole(expected)
end
local told = {whole(expected + 1)}
for i = 1, count do
  local event, data = ARGV[5 + 2 * i], ARGV[6 + 2 * i]
  redis.call('XADD', events, whole(expected + i) .. '-0', 'n', event, 'd', data)
  told[2 * i], told[2 * i + 1] = event, data
end
redis.call('XTRIM', events, 'MAXLEN', most)
if moves == 'before' then mark = whole(expected) end
if moves == 'after' then mark = whole(expected + count) end
if moves ~= '' then redis.call('HDEL', about, 'stop') end
redis.call('HSET', about, 'fence', whole(fence), 'last', whole(expected + count), 'mark', mark)
touch(index, name, keep, about, events)
redis.call('PUBLISH', events, table.concat(told, '\\n'))
return {whole(expected + count), mark}
"""
)

_READ: Final = """
local about, events = KEYS[1], KEYS[2]
local after, limit = ARGV[1], ARGV[2]
local got = redis.call('HMGET', about, 'last', 'mark', 'start')
if not got[1] then return {} end
local first = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)
local oldest = first[1] and first[1][1] or ''
if limit == '0' then return {got[1], got[2], got[3], oldest, {}} end
local from = after == '' and '-' or '(' .. after .. '-0'
return {got[1], got[2], got[3], oldest, redis.call('XRANGE', events, from, '+', 'COUNT', limit)}
"""

_STOP: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'stop', '1')
  redis.call('PUBLISH', KEYS[2] .. ':stop', '1')
end
return 1
"""

_FORGET: Final = """
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('PUBLISH', KEYS[2], '')
return 1
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name by which a server knows it."""

    text: str

    @property
    def sha(self) -> str:
        """Its name."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


OPEN, APPEND, READ, STOP, FORGET = map(Script, (_OPEN, _APPEND, _READ, _STOP, _FORGET))
_SCRIPTS: Final = (OPEN, APPEND, READ, STOP, FORGET)
_SHAS: Final = {script: script.sha for script in _SCRIPTS}

Command = tuple[str | int | float | bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one conversation."""

    name: str
    index: str
    events: str
    about: str

    def call(self, script: Script, *arguments: str | int) -> Command:
        """Return a command that runs a script over them."""
        return ("EVALSHA", _SHAS[script], 3, self.about, self.events, self.index, *arguments)

    @property
    def stop(self) -> str:
        """The channel for those who want a turn to be stopped."""
        return f"{self.events}:stop"


def index_of(prefix: str, user: str) -> str:
    """Return the key under which a user's conversations are listed."""
    return f"{prefix}:{{{quote(user, safe='')}}}"


def keys_of(prefix: str, user: str, conversation: str) -> Keys:
    """Return the keys of a conversation."""
    index, name = index_of(prefix, user), quote(conversation, safe="")
    return Keys(name=name, index=index, events=f"{index}:{name}", about=f"{index}:{name}:about")


class Ask(Job["Server", T]):
    """A command for which a task waits; `read` makes something of its answer, in the thread."""

    __slots__ = ("command", "read")

    def __init__(self, command: Command, read: Callable[[Any], T]) -> None:
        super().__init__(lambda server: read(server.reply))
        self.command = command


class Server:
    """One connection, in use by one thread."""

    def __init__(self, address: Address) -> None:
        self.reply: Any = None
        self._wire: Wire = address.wire()
        self._wire.connect()
        self._load()

    def perform(self, group: Group["Server"]) -> None:
        """Ask all that is asked at once, and let each succeed or fail by itself. Raises what breaks a connection."""
        waiting: Sequence[Ask[object]] = [job for job in group if isinstance(job, Ask)]
        replies = self._exchange([job.command for job in waiting])
        unknown = [job for job, reply in zip(waiting, replies, strict=True) if isinstance(reply, NoScriptError)]
        if unknown:  # the server was started anew, or somebody has flushed its scripts
            self._load()
            again = dict(zip(unknown, self._exchange([job.command for job in unknown]), strict=True))
            replies = [again.get(job, reply) for job, reply in zip(waiting, replies, strict=True)]
        for job, reply in zip(waiting, replies, strict=True):
            self._settle(job, reply)

    def close(self) -> None:
        """Close the connection."""
        self._wire.disconnect()

    def _settle(self, job: Ask[object], reply: Any) -> None:
        if isinstance(reply, RedisError):
            job.fail(reply)
            return
        self.reply = reply
        try:
            job.run(self)
        except Exception as error:  # noqa: BLE001  (it belongs to the task that waits)
            job.fail(error)

    def _load(self) -> None:
        for reply in self._exchange([("SCRIPT", "LOAD", script.text) for script in _SCRIPTS]):
            if isinstance(reply, Exception):
                raise reply

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands at once and return the answers, of which some may be errors."""
        send(self._wire, commands)
        return [self._answer() for _ in commands]

    def _answer(self) -> Any:
        try:
            return self._wire.read_response()
        except ResponseError as error:
            return error
