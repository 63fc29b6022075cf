"""What tests of assistants need: models that play a script, and the suites that replaceable parts must pass.

`assistant_kit.testing.conformance` needs pytest.
"""

from assistant_kit.testing.scripted_model import (
    Call,
    CallTools,
    Cut,
    Delay,
    Fail,
    Refuse,
    Say,
    ScriptedModel,
    ScriptMismatch,
    Step,
)

__all__ = ["Call", "CallTools", "Cut", "Delay", "Fail", "Refuse", "Say", "ScriptMismatch", "ScriptedModel", "Step"]
