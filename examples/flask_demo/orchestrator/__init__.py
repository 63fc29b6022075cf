"""The orchestrator: answers messages, whichever instance gets them; see README.md of the folder above."""
