"""Tests of the todo service."""
