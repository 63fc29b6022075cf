"""Streams that fail at each of their events, in each way, under each policy: what the reader is left with."""
