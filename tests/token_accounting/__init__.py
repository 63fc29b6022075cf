"""Our counts of whole requests beside those of OpenAI's own renderer."""
