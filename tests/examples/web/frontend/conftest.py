"""A front end in a test: real Redis, a real identity provider, an orchestrator that records what it is asked."""

from collections.abc import Iterator

import pytest

from tests.examples.web.frontend.surroundings import Browser, Recorder, System, identity_provider, recorder, system
from tests.examples.web.stand_in import StandIn, running_stand_in


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    with identity_provider() as url:
        yield url


@pytest.fixture(scope="session")
def running_recorder() -> Iterator[Recorder]:
    with recorder() as started:
        yield started


@pytest.fixture
def upstream(running_recorder: Recorder) -> Recorder:
    running_recorder.begin_anew()
    return running_recorder


@pytest.fixture(scope="module")
def web(
    valkey_url: str, issuer: str, running_recorder: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("frontend")
    with system(folder, valkey_url, issuer, running_recorder.url) as made:
        yield made


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def talking(
    valkey_url: str, issuer: str, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("frontend"), valkey_url, issuer, stand_in.url) as made:
        yield made


@pytest.fixture
def ann(talking: System, stand_in: StandIn) -> Browser:
    stand_in.is_down = False
    stand_in.held.clear()
    browser = talking.browser()
    browser.sign_in("Ann")
    return browser
