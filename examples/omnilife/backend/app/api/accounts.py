"""Signing up, in and out."""

from fastapi import APIRouter

from app.accounts import Account
from app.api.given import AccountGiven, ServicesGiven
from app.api.schemas import SignedIn, SignInRequest, SignUp, UserOut

router = APIRouter(prefix="/api", tags=["accounts"])


@router.post("/users", status_code=201)
def sign_up(body: SignUp, services: ServicesGiven) -> SignedIn:
    return _signed_in(*services.accounts.sign_up(body.name, body.email, body.password))


@router.post("/sessions")
def sign_in(body: SignInRequest, services: ServicesGiven) -> SignedIn:
    return _signed_in(*services.accounts.sign_in(body.email, body.password))


@router.delete("/sessions", status_code=204)
def sign_out(account: AccountGiven, services: ServicesGiven) -> None:
    services.accounts.sign_out(account)


@router.get("/users/me")
def me(account: AccountGiven) -> UserOut:
    return UserOut.model_validate(account)


def _signed_in(token: str, account: Account) -> SignedIn:
    return SignedIn(token=token, user=UserOut.model_validate(account))
