"""What the pipeline's scripts send and say, against a receiver of their own.

Run in `backend`:  .venv/bin/python -m pytest -c pyproject.toml ../scripts
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent
NOBODY = "http://127.0.0.1:1"
Answer = tuple[int, str]


class Receiver(ThreadingHTTPServer):
    """Answers as it is told, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers: dict[str, Answer] = {}
        self.received: list[tuple[str, str, bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append((self.path, self.headers.get("Content-Type", ""), body))
        status, text = self.server.answers.get(self.path, (404, "no"))
        if status == 0:  # Hangs up without a word.
            return
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def tell(hook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = arguments or ("production", "success", "4f1c9ae0b1", "http://localhost:3000")
    return run("notify-slack", *given, SLACK_WEBHOOK_URL=hook)


def test_slack_is_told(receiver: Receiver) -> None:
    receiver.answers["/hook"] = (200, "ok")
    done = tell(f"{receiver.url}/hook")
    assert (done.returncode, done.stdout) == (0, "Slack says: ok\n"), done.stderr
    [(_, kind, body)] = receiver.received
    text = ":white_check_mark: OmniLife production: success, release 4f1c9ae http://localhost:3000"
    assert (kind, json.loads(body)) == ("application/json", {"text": text})


def test_what_is_told_stays_text(receiver: Receiver) -> None:
    receiver.answers["/hook"] = (200, "ok")
    hostile = 'x", "channel": "#all", "y": "<!channel> & $(id) `id`\n'
    assert tell(f"{receiver.url}/hook", hostile, "failure", "", "").returncode == 0
    told = json.loads(receiver.received[0][2])
    assert list(told) == ["text"]
    assert "&lt;!channel&gt; &amp; $(id) `id`" in told["text"]
    assert told["text"].startswith(':x: OmniLife x", "channel"')


def test_without_an_address_nothing_is_sent() -> None:
    done = tell("")
    assert (done.returncode, done.stdout) == (0, "SLACK_WEBHOOK_URL is not set: nothing is sent\n")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((400, "no_text"), "Slack refuses it: 400 no_text"),
        ((404, "no_service"), "Slack refuses it: 404 no_service"),
        ((500, ""), "Slack refuses it: 500"),
        ((0, ""), "Slack cannot be reached"),
    ],
)
def test_what_slack_refuses_is_a_failure(receiver: Receiver, answer: Answer, why: str) -> None:
    receiver.answers["/secret-path"] = answer
    done = tell(f"{receiver.url}/secret-path")
    assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr and "secret-path" not in done.stderr


@pytest.mark.parametrize(
    "hook", [f"{NOBODY}/secret", "secret", "file:///etc/secret", "http://[secret", "http://se cret"]
)
def test_an_address_where_nobody_is_is_a_failure_and_not_shown(hook: str) -> None:
    done = tell(hook)
    assert done.returncode == 1
    assert "Slack cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr and "secret" not in done.stderr


GOOD: dict[str, Answer] = {
    "/api/health": (200, '{"status": "ok"}'),
    "/api/version": (200, '{"revision": "4f1c9ae"}'),
    "/version": (200, '{"revision": "4f1c9ae"}'),
    "/": (200, "<title>OmniLife</title>"),
    "/api/habits": (401, "{}"),
}


def test_all_is_well(receiver: Receiver) -> None:
    receiver.answers = GOOD
    done = run("smoke", f"{receiver.url}/")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["ok", check] for check in ("health", "versions", "page", "closed", "missing")
    ]


@pytest.mark.parametrize(
    ("path", "answer", "check"),
    [
        ("/api/health", (503, '{"status": "failing"}'), "health"),
        ("/api/health", (200, '{"status": "failing"}'), "health"),
        ("/api/health", (200, "[]"), "health"),
        ("/api/health", (200, "<html>"), "health"),
        ("/api/health", (0, ""), "health"),
        ("/version", (200, '{"revision": "9e07b51"}'), "versions"),
        ("/version", (200, "{}"), "versions"),
        ("/", (200, "some other program"), "page"),
        ("/", (500, "OmniLife"), "page"),
        ("/api/habits", (200, "[]"), "closed"),
        ("/assets/not-there.js", (200, "OmniLife"), "missing"),
    ],
)
def test_each_fault_fails_its_check_alone(receiver: Receiver, path: str, answer: Answer, check: str) -> None:
    receiver.answers = {**GOOD, path: answer}
    done = run("smoke", receiver.url)
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")] == [check]
    assert done.stderr == ""


def test_where_nobody_is_everything_fails() -> None:
    done = run("smoke", NOBODY)
    assert (done.returncode, done.stdout.count("FAIL"), done.stderr) == (1, 5, "")


@pytest.mark.parametrize("arguments", [(), ("",), ("localhost:3000",), ("http://a", "http://b")])
def test_smoke_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    done = run("smoke", *arguments)
    assert (done.returncode, done.stderr) == (1, "use: scripts/smoke http://localhost:3000\n")
