"""The engine: the run loop and what it is made of. It knows protocols, never a backend."""
