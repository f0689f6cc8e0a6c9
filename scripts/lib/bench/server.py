"""A server with its runner, used by git and by its API, as people and their programs use it."""

import http.client
import json
import os
import subprocess
import time

import stage

OWNER = "bench"
HELLO = """on: [push, workflow_dispatch]
jobs:
  hello:
    runs-on: ubuntu-latest
    steps:
      - run: echo "first $EPOCHREALTIME"
"""


class Server:
    def __init__(self, on, name, slots=2):
        self.on = on
        self.data = os.path.join(on.root, name)
        self.slots = slots
        self.port = stage.free_port()
        self.process = None
        self.start()

    def start(self):
        """Gives the seconds from its start to its word that it is ready."""
        began = time.perf_counter()
        self.process = self.on.start(
            self.on.pilotage, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
            "--slots", str(self.slots), stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        took = time.perf_counter() - began
        if not line.startswith("ready "):
            raise stage.Fault("the server did not start; its last words are in the programs' log")
        with open(os.path.join(self.data, "admin-token")) as file:
            self.token = file.read().strip()
        return took

    def stop(self):
        stage.stop(self.process)
        for pid, arguments in self.on.ours():
            if arguments[1:2] == ["runner"] and any(self.data in argument for argument in arguments):
                stage.end(pid)

    def connection(self):
        return Connection(self.port, self.token)

    def project(self, name, files):
        """A project with these files on main, pushed; gives its working copy."""
        self.connection().call("POST", "projects", {"owner": OWNER, "name": name})
        copy = self.on.folder(f"copies/{name}")
        for path, text in files.items():
            self.on.write(os.path.join(copy, path), text)
        git(copy, "init", "--quiet", "--initial-branch=main")
        git(copy, "remote", "add", "origin", f"http://x:{self.token}@127.0.0.1:{self.port}/{OWNER}/{name}.git")
        git(copy, "add", ".")
        git(copy, "commit", "--quiet", "--message", "first")
        git(copy, "push", "--quiet", "origin", "main")
        return copy

    def until_idle(self, patience=120):
        """Waits until no run is under way."""
        connection, until = self.connection(), time.monotonic() + patience
        while any(project["running"] or project["queued"] for project in connection.call("GET", "status")["projects"]):
            if time.monotonic() > until:
                raise stage.Fault(f"runs do not end within {patience} s")
            time.sleep(0.02)


class Connection:
    """One connection to the API, kept open."""

    def __init__(self, port, token):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def call(self, method, path, body=None):
        answer = self.open(method, path, body)
        text = answer.read()
        return json.loads(text) if text else None

    def open(self, method, path, body=None):
        self.http.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), self.headers)
        answer = self.http.getresponse()
        if answer.status >= 400:
            raise stage.Fault(f"{method} {path} is answered {answer.status}: {answer.read()[:300].decode()}")
        return answer

    def newest_run(self, project):
        return self.call("GET", f"runs?project={OWNER}/{project}&limit=1")[0]["id"]

    def dispatch(self, project, workflow):
        return self.call("POST", f"projects/{OWNER}/{project}/workflows/{workflow}/dispatches", {})["id"]

    def events(self, run):
        """A run's server-sent events, each with the time at which it was here."""
        answer = self.open("GET", f"runs/{run}/events")
        while line := answer.readline():
            if line.startswith(b"data:"):
                yield time.time(), json.loads(line[5:])

    def until_ended(self, run):
        for _, event in self.events(run):
            if event["type"] == "run":
                if event["conclusion"] != "success":
                    raise stage.Fault(f"run {run} ended with {event['conclusion']}")
        return self.call("GET", f"runs/{run}")


def git(copy, *arguments):
    command = ["git", "-C", copy, "-c", "user.name=bench", "-c", "user.email=bench@localhost", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise stage.Fault(f"git {arguments[0]} ended with {done.returncode}: {stage.last(done.stderr)}")
