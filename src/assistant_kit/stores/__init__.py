"""The places where journals live: one backend, one file or folder. `protocols/store.py` is their contract."""
