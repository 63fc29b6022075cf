"""Tell observers what an assistant does: policies around its calls, which watch its runs as well."""

from collections.abc import Sequence

from assistant_kit.observers._calls import Listening, Watching
from assistant_kit.observers._runs import Runs
from assistant_kit.observers._telling import Telling
from assistant_kit.prices import Prices
from assistant_kit.protocols.observer import ConditionNoted, Observer
from assistant_kit.protocols.policy import ConditionChanged, Policy, ReportingPolicy


def observed(
    policies: Sequence[Policy], *observers: Observer, inner: Sequence[Policy] = (), prices: Prices | None = None
) -> Sequence[Policy]:
    """Return policies whose calls observers are told of, as `policies=` of an assistant or around any function.

    `policies` stand outside of what is told as a call: a retry makes another one. `inner` stand inside, such as
    `Timeouts`: what they give up is a call that failed. `prices` say what calls cost (default: those that come along).
    From now on observers are also told of changes of the conditions of these policies.
    """
    telling = Telling(observers)

    def note(change: ConditionChanged) -> None:
        telling.tell(ConditionNoted(change=change))

    for policy in (*policies, *inner):
        if isinstance(policy, ReportingPolicy):
            policy.report_to(note)
    watching = Watching(telling, Prices() if prices is None else prices, Runs(telling))
    return (Listening(telling), *policies, watching, *inner)
