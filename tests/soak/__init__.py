"""Many conversations of one assistant for a long time, with a provider and tools that fail now and then."""
