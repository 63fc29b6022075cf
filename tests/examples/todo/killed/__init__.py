"""The service of the todo app, killed at each step of a chat and started again."""
