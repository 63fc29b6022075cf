"""How a budget of retries stands, for those who look at it and those who are told of it."""

from dataclasses import dataclass

from assistant_kit.policies._reports import Reports
from assistant_kit.protocols.policy import Condition
from assistant_kit.retry_budget import RetryBudget


def condition_of(budget: RetryBudget) -> Condition:
    """Return how a budget stands, of the upstream for which least is left."""
    data = {"left": budget.lowest, "capacity": budget.capacity, "cost": budget.cost}
    return Condition(ok=not budget.used_up, state="used up" if budget.used_up else "ok", data=data)


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """Tells of a budget under the name that it has with a policy."""

    name: str
    budget: RetryBudget
    reports: Reports

    def __call__(self) -> None:
        """Tell that the budget is used up, or is not any more."""
        self.reports.tell(self.name, "ok" if self.budget.used_up else "used up", condition_of(self.budget))
