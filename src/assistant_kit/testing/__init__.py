"""What tests of assistants need: models that play a script, and the suites that replaceable parts must pass.

Imported by tests only: `conformance` needs pytest.
"""
