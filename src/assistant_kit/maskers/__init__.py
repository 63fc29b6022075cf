"""Maskers, and vaults for their pseudonyms: docs/masking.md."""
