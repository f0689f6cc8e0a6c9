from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from app import accounts
from app.accounts import check_password, hash_password
from app.models import now
from tests.backend import PASSWORD, Person


def sign_in(client: TestClient, email: str = "ana@example.com", password: str = PASSWORD) -> tuple[int, str]:
    answer = client.post("/api/sessions", json={"email": email, "password": password})
    return answer.status_code, answer.json().get("token") or answer.json()["error"]["code"]


def me(client: TestClient, authorization: str) -> int:
    return client.get("/api/users/me", headers={"Authorization": authorization}).status_code


def test_who_signs_up_is_signed_in(client: TestClient) -> None:
    ana = Person(client, "Ana")
    assert ana.get("/api/users/me") == ana.user
    assert {key: ana.user[key] for key in ("name", "email")} == {"name": "Ana", "email": "ana@example.com"}
    assert ana.user["created_at"].endswith("Z")


def test_signing_in_ignores_the_case_of_the_email_only(client: TestClient, ana: Person) -> None:
    status, token = sign_in(client, " ANA@example.COM ")
    assert status == 200
    assert me(client, f"Bearer {token}") == 200
    assert me(client, f"bearer {token}") == 200
    assert sign_in(client, password=PASSWORD.upper()) == (401, "unauthorized")
    assert sign_in(client, "nobody@example.com") == (401, "unauthorized")


def test_an_email_has_one_account(client: TestClient, ana: Person) -> None:
    again = client.post("/api/users", json={"name": "Ana", "email": "Ana@Example.com", "password": PASSWORD})
    assert again.status_code == 409
    assert again.json() == {"error": {"code": "conflict", "message": "This email has an account already."}}


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer nonsense", "Basic YTpi", "Bearer \xe9"])
def test_without_a_good_token_nothing_is_shown(client: TestClient, ana: Person, authorization: str) -> None:
    answer = client.get("/api/habits", headers={b"Authorization": authorization.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.json()["error"] == {"code": "unauthorized", "message": "Sign in first."}
    assert answer.headers["www-authenticate"] == "Bearer"


def test_signing_out_ends_this_token_only(client: TestClient, ana: Person) -> None:
    _, token = sign_in(client)
    assert ana.ask("DELETE", "/api/sessions").status_code == 204
    assert ana.ask("GET", "/api/users/me").status_code == 401
    assert me(client, f"Bearer {token}") == 200


def test_tokens_expire(client: TestClient, ana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "now", lambda: now() + timedelta(days=accounts.TOKEN_DAYS, seconds=1))
    assert ana.ask("GET", "/api/users/me").status_code == 401


def test_the_oldest_tokens_go_first(client: TestClient, ana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "TOKENS_KEPT", 3)
    tokens = [sign_in(client)[1] for _ in range(3)]
    assert ana.ask("GET", "/api/users/me").status_code == 401
    assert [me(client, f"Bearer {token}") for token in tokens] == [200, 200, 200]


def test_many_failures_lock_an_email_for_a_while(client: TestClient, ana: Person) -> None:
    for _ in range(accounts.FAILURES_ALLOWED):
        assert sign_in(client, password="wrong") == (401, "unauthorized")
    refused = client.post("/api/sessions", json={"email": "ANA@example.com", "password": PASSWORD})
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == str(accounts.FAILURES_SECONDS)
    assert refused.json()["error"]["code"] == "too_many_requests"
    Person(client, "Ben")
    assert sign_in(client, "ben@example.com")[0] == 200


def test_secrets_are_kept_as_hashes(client: TestClient, ana: Person) -> None:
    services = client.app.state.services  # type: ignore[attr-defined]
    with services.database.engine.connect() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM users").all())
        kept += str(connection.exec_driver_sql("SELECT * FROM sign_ins").all())
    assert PASSWORD not in kept
    assert ana.headers["Authorization"].removeprefix("Bearer ") not in kept


def test_equal_passwords_have_different_hashes() -> None:
    first, second = hash_password("a"), hash_password("a")
    assert first != second
    assert check_password("a", first) and check_password("a", second)
    assert not check_password("b", first)
    assert not check_password("a", first.replace("scrypt", "md5"))
