"""A service that fails is left alone for a while, and tried again by one call."""

import asyncio
import logging

from assistant_kit.errors import CircuitOpen
from assistant_kit.policies.circuit_breaker import CircuitBreaker, CircuitChange
from assistant_kit.policy_chain import guarded


class Warehouse:
    """Is down at first."""

    def __init__(self) -> None:
        self.down = True
        self.asked = 0

    async def stock(self) -> int:
        self.asked += 1
        if self.down:
            raise ConnectionError
        return 7


# --8<-- [start:use]
def tell(change: CircuitChange) -> None:
    print(f"{change.key}: {change.before} -> {change.after}, {change.reason}")


breaker = CircuitBreaker(min_calls=3, open_for=0.1, probes_needed=1, on_change=tell)


async def stock_of(warehouse: Warehouse) -> str:
    try:
        return f"{await guarded(warehouse.stock, breaker, name='warehouse')} in stock"
    except CircuitOpen as error:  # nobody was asked
        return f"closed for a while, try again in {'a moment' if (error.retry_after or 0) < 1 else 'some seconds'}"
    except ConnectionError:
        return "no connection"


# --8<-- [end:use]


async def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # trips are logged as warnings, too
    warehouse = Warehouse()
    for _ in range(5):
        print(await stock_of(warehouse))
    print(f"asked {warehouse.asked} times")
    condition = breaker.health()["breaker other:warehouse"]
    print(condition.state, condition.data["failures"], "of", condition.data["calls"])
    warehouse.down = False
    await asyncio.sleep(0.1)
    print(await stock_of(warehouse))


if __name__ == "__main__":
    asyncio.run(main())
