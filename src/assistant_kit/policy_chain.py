"""A call through policies: one inside the other, and any function can be called so."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from assistant_kit.protocols.policy import Call, Policy, Proceed, T
from assistant_kit.tool_spec import Effect


async def through(policies: Sequence[Policy], call: Call, make: Proceed[T]) -> T:
    """Make a call through policies, the first one outermost."""
    proceed = make
    for policy in reversed(policies):
        proceed = _within(policy, proceed)
    return await proceed(call)


async def guarded(
    function: Callable[[], Awaitable[T]],
    *policies: Policy,
    name: str,
    effect: Effect = "once",
    call: Call | None = None,
) -> T:
    """Call any function through policies, the first one outermost.

    `await guarded(fetch, Retry(), name="crm", effect="read")`

    `name` says what is called: calls of one name share a breaker and a limit. `effect` says what a second call would
    do; only a `"read"` or an `"idempotent"` one is retried. `call` has what else policies may want to know, such as a
    deadline. Raises what the function and the policies raise.
    """
    made = Call(name=name, effect=effect) if call is None else replace(call, name=name, effect=effect)

    async def make(_: Call) -> T:
        return await function()

    return await through(policies, made, make)


def _within(policy: Policy, proceed: Proceed[T]) -> Proceed[T]:
    def around(call: Call) -> Awaitable[T]:
        return policy.around(call, proceed)

    return around
