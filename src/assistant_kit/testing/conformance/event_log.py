"""The tests that every event log passes.

    class TestMyLog(EventLogConformance):
        async def open_log(self, folder: Path, *, most: int) -> EventLog:
            return MyLog(folder / "events", most=most)

Mark them with `pytest.mark.anyio`.
"""

from assistant_kit.testing.conformance.event_log_histories import EventLogHistories
from assistant_kit.testing.conformance.event_log_places import EventLogPlaces
from assistant_kit.testing.conformance.event_log_reading import EventLogReading
from assistant_kit.testing.conformance.event_log_writing import EventLogWriting


class EventLogConformance(EventLogWriting, EventLogReading, EventLogPlaces, EventLogHistories):
    """All of them."""
