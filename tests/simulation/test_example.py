from assistant_kit.testing.simulation import simulate
from tests.simulation.example import main, run


def test_the_documented_example_gets_its_answer_whatever_happens() -> None:
    assert run() == "Hello."
    assert {simulate(main, seed=seed) for seed in range(50)} == {"Hello."}
