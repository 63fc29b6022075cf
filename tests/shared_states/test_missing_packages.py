import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location

import pytest

from assistant_kit.errors import MissingDependency


@pytest.mark.parametrize(
    ("state", "module", "package", "extra"),
    [("postgres", "psycopg", "psycopg", "postgres"), ("redis", "redis", "redis", "redis")],
)
def test_without_its_package_a_place_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, state: str, module: str, package: str, extra: str
) -> None:
    found = find_spec(f"assistant_kit.shared_states.{state}")
    assert found
    assert found.origin
    again = spec_from_file_location(f"{state}_again", found.origin)
    assert again
    assert again.loader
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingDependency) as caught:
        again.loader.exec_module(module_from_spec(again))

    assert (caught.value.package, caught.value.extra) == (package, extra)
