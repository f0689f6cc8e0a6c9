"""Who asks: signing up, signing in, and the tokens that come of it.

Passwords are kept as salted scrypt hashes. Tokens are 256 random bits, of which only a hash is kept: whoever reads the
database can be nobody.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.cache import Cache
from app.database import Database
from app.errors import ApiError
from app.metrics import Metrics
from app.models import SignIn, User, now

TOKEN_DAYS = 30
# Of one user at a time; the oldest go first.
TOKENS_KEPT = 20
FAILURES_ALLOWED = 10
FAILURES_SECONDS = 300
SCRYPT_COST = 1 << 14


@dataclass(frozen=True)
class Account:
    """A user who is signed in."""

    id: int
    name: str
    email: str
    created_at: datetime
    # How often what the user has was changed, when this was read.
    changes: int
    token_hash: str = ""


@dataclass(frozen=True)
class Accounts:
    database: Database
    cache: Cache
    metrics: Metrics

    def sign_up(self, name: str, email: str, password: str) -> tuple[str, Account]:
        hashed = hash_password(password)
        try:
            with self.database.write() as session:
                user = User(name=name, email=email.lower(), password_hash=hashed, created_at=now(), changes=0)
                session.add(user)
                session.flush()
                token = _give_token(session, user.id)
                account = _account(user, _hash_token(token))
        except IntegrityError as error:
            raise ApiError(409, "This email has an account already.") from error
        self.metrics.sign_ups.inc()
        return token, account

    def sign_in(self, email: str, password: str) -> tuple[str, Account]:
        failures = f"sign-in-failures:{hashlib.sha256(email.lower().encode()).hexdigest()}"
        if int(self.cache.get(failures) or 0) >= FAILURES_ALLOWED:
            self.metrics.sign_in_failures.labels("too_many").inc()
            retry = {"Retry-After": str(FAILURES_SECONDS)}
            raise ApiError(429, "Too many failed sign-ins for this email. Try again later.", headers=retry)
        with self.database.read() as session:
            user = session.scalar(select(User).where(User.email == email.lower()))
        # An unknown email takes as long as a known one.
        if not check_password(password, user.password_hash if user else NOBODYS_HASH) or user is None:
            self.cache.count(failures, FAILURES_SECONDS)
            self.metrics.sign_in_failures.labels("wrong").inc()
            raise ApiError(401, "The email or the password is wrong.")
        with self.database.write() as session:
            token = _give_token(session, user.id)
        return token, _account(user, _hash_token(token))

    def sign_out(self, account: Account) -> None:
        with self.database.write() as session:
            session.execute(delete(SignIn).where(SignIn.token_hash == account.token_hash))

    def by_token(self, token: str) -> Account | None:
        token_hash = _hash_token(token)
        valid = (SignIn.token_hash == token_hash) & (SignIn.expires_at > now())
        with self.database.read() as session:
            user = session.scalar(select(User).join(SignIn).where(valid))
        if user is None:
            return None
        self.metrics.saw(user.id)
        return _account(user, token_hash)


def hash_password(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${SCRYPT_COST}${_text(salt)}${_text(_scrypt(password, salt, SCRYPT_COST))}"


def check_password(password: str, hashed: str) -> bool:
    scheme, cost, salt, key = hashed.split("$")
    if scheme != "scrypt":
        return False
    return hmac.compare_digest(_scrypt(password, base64.b64decode(salt), int(cost)), base64.b64decode(key))


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, maxmem=64 << 20)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _give_token(session: Session, user_id: int) -> str:
    kept = select(SignIn.token_hash).where(SignIn.user_id == user_id).order_by(SignIn.expires_at.desc())
    old = list(session.scalars(kept.offset(TOKENS_KEPT - 1)))
    session.execute(delete(SignIn).where(SignIn.token_hash.in_(old)))
    token = secrets.token_urlsafe(32)
    expires_at = now() + timedelta(days=TOKEN_DAYS)
    session.add(SignIn(token_hash=_hash_token(token), user_id=user_id, expires_at=expires_at))
    return token


def _account(user: User, token_hash: str) -> Account:
    return Account(user.id, user.name, user.email, user.created_at, user.changes, token_hash)


NOBODYS_HASH = hash_password(secrets.token_hex())
