"""Servers that end at random moments, and what is left of them."""
