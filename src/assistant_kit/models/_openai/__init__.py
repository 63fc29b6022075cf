"""What the OpenAI models share: the way to the server, both wire formats, and what goes wrong."""
