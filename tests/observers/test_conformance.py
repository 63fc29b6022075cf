"""The observers that come along pass the suite; what each shows is looked at whole."""

import json
import logging
from dataclasses import replace

import pytest

from assistant_kit.observers.logging import LOGGER, LoggingObserver
from assistant_kit.observers.prometheus import PrometheusObserver
from assistant_kit.protocols.observer import Notice, Observer, ToolAnswered
from assistant_kit.testing.conformance.observer import ObserverConformance
from tests.observers.collected import Collected


# --8<-- [start:suite]
@pytest.mark.anyio
class TestPrometheusObserver(ObserverConformance):
    def make_observer(self) -> Observer:
        return PrometheusObserver()

    def shown(self, observer: Observer) -> str:
        assert isinstance(observer, PrometheusObserver)
        return observer.render()


# --8<-- [end:suite]


@pytest.mark.anyio
class TestLoggingObserver(ObserverConformance):
    @pytest.fixture(autouse=True)
    def _records(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, LOGGER)
        self.log = caplog

    def make_observer(self) -> Observer:
        return LoggingObserver()

    def shown(self, observer: Observer) -> str:
        del observer
        records = [record for record in self.log.records if record.name == LOGGER]
        return json.dumps([vars(record) | {"line": record.getMessage()} for record in records], default=repr)


@pytest.mark.anyio
class TestOpenTelemetryObserver(ObserverConformance):
    @pytest.fixture(autouse=True)
    def _collected(self) -> None:
        self.collected = Collected()

    def make_observer(self) -> Observer:
        return self.collected.observer()

    def shown(self, observer: Observer) -> str:
        del observer
        return self.collected.text()


class Failing(PrometheusObserver):
    """Raises where nobody sees it: the library would log it."""

    def observe(self, notice: Notice) -> None:
        raise ValueError(notice.kind)


class Talking(PrometheusObserver):
    """Asks for content by default, and shows it."""

    reads_content = True

    def observe(self, notice: Notice) -> None:
        super().observe(replace(notice, tool=repr(notice)) if isinstance(notice, ToolAnswered) else notice)


class OfAnother(TestPrometheusObserver):
    __test__ = False

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def make_observer(self) -> Observer:
        return self.observer


@pytest.mark.anyio
@pytest.mark.parametrize("observer", [Failing(), Talking()], ids=["failing", "talking"])
async def test_the_suite_finds_an_observer_that_raises_or_shows_content(observer: Observer) -> None:
    with pytest.raises(AssertionError):
        await OfAnother(observer).test_it_never_raises_and_shows_nothing_that_users_models_or_tools_say()
