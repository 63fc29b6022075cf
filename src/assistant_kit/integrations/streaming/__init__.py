"""Turns that run beside their readers, with an event log between them: server-sent events, Socket.IO."""

from assistant_kit.integrations.streaming import sse
from assistant_kit.integrations.streaming.failures import Failure, failure_of
from assistant_kit.integrations.streaming.relay import Relay
from assistant_kit.integrations.streaming.relayed_turn import RelaySettings, Started
from assistant_kit.integrations.streaming.wire import data_of, described, error_data
from assistant_kit.protocols.event_log import Entry

__all__ = [
    "Entry",
    "Failure",
    "Relay",
    "RelaySettings",
    "Started",
    "data_of",
    "described",
    "error_data",
    "failure_of",
    "sse",
]
