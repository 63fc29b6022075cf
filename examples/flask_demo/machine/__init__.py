"""The whole system on one machine: what is started, in which order, and how it ends."""
