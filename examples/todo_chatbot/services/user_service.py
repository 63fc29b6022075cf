"""Those who use the app: signing up, logging in, staying logged in."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models import RefreshToken, User
from examples.todo_chatbot.models.columns import now
from examples.todo_chatbot.services.errors import Conflict, Invalid, NotFound, Unauthorized
from examples.todo_chatbot.services.texts import checked, is_plain

EMAIL_LIMIT = 254  # characters
PASSWORD_LEAST, PASSWORD_LIMIT = 10, 200
REFRESH_LIFE = timedelta(days=14)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_WRONG = "the e-mail address or the password is wrong"
_OVER = "this refresh token is over: log in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Somebody who has logged in; the refresh token is given out once, and only its hash is kept."""

    user: UUID
    refresh_token: str
    refresh_expires_at: datetime


class UserService:
    """Each method is one transaction and may run in any thread."""

    def __init__(self, database: Database, passwords: Passwords | None = None) -> None:
        """Take the database."""
        self._database = database
        self._passwords = passwords or Passwords()

    def sign_up(self, email: str, password: str) -> Login:
        """Make a user and log them in. Raises Invalid, Conflict."""
        email = _email(email)
        _check_password(password)
        hashed = self._passwords.hash(password)
        try:
            with self._database.writing() as session:
                user = User(email=email, password_hash=hashed)
                session.add(user)
                session.flush()
                return _login(session, user.id, uuid4())
        except IntegrityError as error:
            raise Conflict("there is a user with this e-mail address already: log in") from error

    def log_in(self, email: str, password: str) -> Login:
        """Log a user in. Raises Unauthorized, after as long whether the address is known or not."""
        with self._database.reading() as session:
            user = _with_email(session, email.strip().lower())
        hashed = None if user is None else user.password_hash
        if not self._passwords.fits(password, hashed) or user is None or hashed is None:
            raise Unauthorized(_WRONG)
        if self._passwords.is_outdated(hashed):
            user.password_hash = self._passwords.hash(password)
        with self._database.writing() as session:
            session.add(user)
            return _login(session, user.id, uuid4())

    def refresh(self, token: str) -> Login:
        """Exchange a refresh token for a new one; it is over then. Raises Unauthorized.

        One that was used already has been stolen, from its owner or by its owner's copy: all of its family are over.
        """
        with self._database.writing() as session:
            known = session.exec(
                select(RefreshToken).where(RefreshToken.token_hash == _hash(token)).with_for_update()
            ).first()
            if known is not None and known.used_at is None and known.expires_at > now():
                known.used_at = now()
                session.add(known)
                return _login(session, known.user_id, known.family)
            if known is not None:
                session.exec(delete(RefreshToken).where(col(RefreshToken.family) == known.family))
        raise Unauthorized(_OVER)

    def log_out(self, token: str) -> None:
        """End the family of a refresh token; nothing happens when it is not known."""
        with self._database.writing() as session:
            known = session.get(RefreshToken, _hash(token))
            if known is not None:
                session.exec(delete(RefreshToken).where(col(RefreshToken.family) == known.family))

    def exists(self, user: UUID) -> bool:
        """Tell whether there is such a user still."""
        with self._database.reading() as session:
            return session.get(User, user) is not None

    def named(self, name: str) -> UUID:
        """Return the user of a terminal, made if there is none: nobody can log in as them. Raises Invalid, NotFound.

        `name` may be the id or the e-mail address of a user who signed up, too.
        """
        name = checked(name.strip().lower(), "user's name", EMAIL_LIMIT)
        if not name:
            raise Invalid("name a user: an id, an e-mail address, or any short name")
        number = _uuid(name)
        with self._database.writing() as session:
            self._database.lock(session, f"user/{name}")
            user = _with_email(session, name) if number is None else session.get(User, number)
            if user is None:
                if number is not None or "@" in name:
                    raise NotFound(f"there is no user {name}: sign up first")
                user = User(email=name)
                session.add(user)
                session.flush()
            return user.id

    def delete(self, user: UUID) -> None:
        """Delete a user with all rows that are theirs. Raises NotFound."""
        with self._database.writing() as session:
            found = session.get(User, user)
            if found is None:
                raise NotFound("there is no such user")
            session.exec(delete(User).where(col(User.id) == user))


def _with_email(session: Session, email: str) -> User | None:
    known = is_plain(email)  # what is not cannot even be asked for: Postgres takes no NUL, no driver half a character
    return session.exec(select(User).where(User.email == email)).first() if known else None


def _login(session: Session, user: UUID, family: UUID) -> Login:
    session.exec(delete(RefreshToken).where(col(RefreshToken.user_id) == user, col(RefreshToken.expires_at) < now()))
    token, until = secrets.token_urlsafe(32), now() + REFRESH_LIFE
    session.add(RefreshToken(token_hash=_hash(token), user_id=user, family=family, expires_at=until))
    return Login(user=user, refresh_token=token, refresh_expires_at=until)


def _hash(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()


def _email(text: str) -> str:
    email = text.strip().lower()
    if len(email) > EMAIL_LIMIT or not _EMAIL.fullmatch(email) or not is_plain(email):
        raise Invalid("this is no e-mail address")
    return email


def _check_password(password: str) -> None:
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_LIMIT:
        raise Invalid(f"a password has {PASSWORD_LEAST} to {PASSWORD_LIMIT} characters")
    if not is_plain(password):
        raise Invalid("a password is text that can be typed")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
