"""What an outage of a provider does to its users, and what they do to it: with policies, and with bare retries."""
