"""A todo assistant in the terminal, on the public interface of assistant_kit: `python -m examples.todo_chatbot`."""
