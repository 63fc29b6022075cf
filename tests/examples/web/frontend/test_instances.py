"""Which orchestrator is asked next."""

from examples.flask_demo.frontend.instances import REST, Instances


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_instances_are_asked_in_turns() -> None:
    instances = Instances(["a", "b", "c"], Clock())

    assert sorted(instances.order()[0] for _ in range(3)) == ["a", "b", "c"]


def test_every_order_has_all_instances() -> None:
    instances = Instances(["a", "b"], Clock())
    instances.failed("a")
    instances.failed("b")

    assert sorted(instances.order()) == ["a", "b"]


def test_one_that_failed_comes_last_for_a_while() -> None:
    clock = Clock()
    instances = Instances(["a", "b"], clock)
    instances.failed("a")

    assert [instances.order() for _ in range(3)] == [["b", "a"]] * 3
    clock.now += REST
    assert {instances.order()[0] for _ in range(2)} == {"a", "b"}


def test_one_that_answers_again_is_asked_in_its_turn() -> None:
    instances = Instances(["a", "b"], Clock())
    instances.failed("a")
    instances.answered("a")

    assert {instances.order()[0] for _ in range(2)} == {"a", "b"}


def test_of_those_that_failed_the_one_that_rests_longest_comes_first() -> None:
    clock = Clock()
    instances = Instances(["a", "b"], clock)
    instances.failed("b")
    clock.now += 1
    instances.failed("a")

    assert instances.order() == ["b", "a"]
