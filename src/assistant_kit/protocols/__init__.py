"""The contracts: what can be replaced. One file, one protocol."""
