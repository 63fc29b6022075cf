"""Observers: what is told of runs and their calls, one way to show it a file."""
