"""The tables of the todo app."""

from examples.todo_chatbot.models.chat_request import ChatRequest
from examples.todo_chatbot.models.conversation import Conversation
from examples.todo_chatbot.models.message import Message, Role
from examples.todo_chatbot.models.task import Task, TaskRequest
from examples.todo_chatbot.models.user import RefreshToken, User

__all__ = ["ChatRequest", "Conversation", "Message", "RefreshToken", "Role", "Task", "TaskRequest", "User"]
