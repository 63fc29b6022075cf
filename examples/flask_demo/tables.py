"""What the tables of this system have in common."""

from sqlalchemy.orm import registry
from sqlmodel import SQLModel


class Table(SQLModel, registry=registry()):
    """A table of ours: apart from those that other applications have in the same process."""
