"""What a turn and a streamed token cost: `python -m benchmarks --help`."""
