"""A backend process as a release runs it, and a person who uses one."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

FOLDER = Path(__file__).parent.parent
PASSWORD = "correct horse"
LISTENS = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


class Person:
    """A user who is signed in."""

    def __init__(self, http: httpx.Client, name: str = "Ana") -> None:
        self.http = http
        email = f"{name.lower()}@example.com"
        made = http.post("/api/users", json={"name": name, "email": email, "password": PASSWORD})
        assert made.status_code == 201, made.text
        self.headers = {"Authorization": f"Bearer {made.json()['token']}"}
        self.user = made.json()["user"]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        given = {} if body is None else {"json": body}
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, path, headers={**self.headers, **asked}, **given)

    def get(self, path: str, **headers: str) -> Any:
        answer = self.ask("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def habit(self, name: str = "Read", **fields: str) -> Any:
        made = self.ask("POST", "/api/habits", {"name": name, **fields})
        assert made.status_code == 201, made.text
        return made.json()

    def check_in(self, habit: Any, day: str | None = None, note: str = "") -> Any:
        body = {"note": note} if day is None else {"day": day, "note": note}
        made = self.ask("POST", f"/api/habits/{habit['id']}/entries", body)
        assert made.status_code in (200, 201), made.text
        return made.json()


class Process:
    """uvicorn with the application, started and stopped as in production."""

    def __init__(self, folder: Path = FOLDER, **variables: str) -> None:
        env = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **variables}
        command = [sys.executable, "-m", "uvicorn", "app.main:app", "--host", "127.0.0.1", "--port", "0"]
        self._process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        found = LISTENS.search(self.wait_for_line("Uvicorn running"))
        assert found
        self.url = found[1]

    def wait_for_line(self, words: str) -> str:
        assert self._process.stdout is not None
        heard = []
        for line in self._process.stdout:
            heard.append(line)
            if words in line:
                return line
        self.kill()
        raise AssertionError(f"{words!r} is not in:\n{''.join(heard)}")

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> tuple[int, str]:
        """How it ended, and what it wrote since it was last asked."""
        written, _ = self._process.communicate(timeout=20)
        return self._process.returncode, written

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def backend(folder: Path = FOLDER, **variables: str) -> Iterator[Process]:
    process = Process(folder, **variables)
    try:
        yield process
    finally:
        process.kill()


def lines(written: str) -> list[Any]:
    return [json.loads(line) for line in written.splitlines()]
