"""What this process has seen of quotas, and who is told when one is low, or used up, or could not be booked."""

from collections.abc import Mapping
from dataclasses import dataclass

from assistant_kit.policies._claims import Claim, Shift
from assistant_kit.policies._reports import Reports
from assistant_kit.protocols.policy import Condition


@dataclass(slots=True, kw_only=True)
class Tally:
    """What this process has seen of a quota; `unbooked` in its unit. `stood` is how one that all share stood lately."""

    limit: int
    unit: str
    admitted: int = 0
    refused: int = 0
    unbooked: int = 0
    stood: str = "ok"

    def condition(self) -> Condition:
        """Return how the quota stands."""
        state = "not booked" if self.unbooked else self.stood
        data = {"limit": self.limit, "admitted": self.admitted, "refused": self.refused, "unbooked": self.unbooked}
        return Condition(ok=state in ("ok", "low"), state=state, data={**data, "unit": self.unit})


class Tallies:
    """The tallies of quotas, by name."""

    def __init__(self, quotas: Mapping[str, Tally]) -> None:
        """Begin with these."""
        self.reports: Reports = Reports()
        self._by_name = quotas

    def health(self) -> Mapping[str, Condition]:
        """Return how each quota stands."""
        return {f"quota {name}": tally.condition() for name, tally in self._by_name.items()}

    def admitted(self, claim: Claim) -> None:
        """Count a call for which all quotas had room."""
        self._by_name[claim.quota].admitted += 1

    def seen(self, claim: Claim, shift: Shift) -> None:
        """See how a quota stands, and tell of another state than the one before."""
        tally = self._by_name[claim.quota]
        tally.refused += shift.refusal is not None
        if claim.shared:  # each worker goes by what it has seen, as its `health()` does
            before = tally.condition()
            tally.stood = "used up" if shift.refusal is not None else shift.after
            self._tell(claim, before.state, tally.condition())
        elif shift.before != shift.after:
            data = {"limit": claim.limit, "used": shift.used, "unit": claim.unit}
            now = Condition(ok=shift.after != "used up", state=shift.after, data=data)
            self._tell(claim, shift.before, now)

    def unbooked(self, claim: Claim, amount: int) -> None:
        """Count what could not be booked."""
        tally = self._by_name[claim.quota]
        before = tally.condition()
        tally.unbooked += amount
        self._tell(claim, before.state, tally.condition())

    def _tell(self, claim: Claim, before: str, now: Condition) -> None:
        self.reports.tell(f"quota {claim.quota}", before, now, owner=claim.bearer)
