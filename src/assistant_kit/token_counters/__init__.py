"""What counts tokens: a bound that needs nothing, exact counts by tiktoken, and one that turns into the other."""
