"""The stage of the demo: a server with its data, a project with its git remote, a client that sends all the time.

Nothing here knows how Pilotage works inside: it is used by git, by its command line and by its API.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

LISTEN = "127.0.0.1:7070"
PROJECT = "demo/hello"


class Fault(Exception):
    """Something was not as it should be."""


class World:
    def __init__(self, binaries, root, example):
        self.pilotage = os.path.join(os.path.abspath(binaries), "pilotage")
        self.load_client = os.path.join(os.path.abspath(binaries), "load")
        self.data = os.path.join(root, "data")
        self.project = os.path.join(root, "hello")
        self.example = os.path.abspath(example)
        self.log = open(os.path.join(root, "serve.log"), "ab")
        self.url = f"http://{LISTEN}"
        self.server = None
        self.token = ""

    # The server.

    def start(self):
        self.server = subprocess.Popen(
            [self.pilotage, "serve", "--data", self.data, "--listen", LISTEN],
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, text=True)
        line = self.server.stdout.readline()
        if not line.startswith("ready "):
            raise Fault(f"the server did not start: {tail(self.log.name)}")
        self.url = line.split()[1]
        with open(os.path.join(self.data, "admin-token")) as file:
            self.token = file.read().strip()

    def processes(self, kind):
        """(pid, arguments) of our processes of a kind: `serve`, `proxy`, `runner` or `keep`."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    arguments = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            ours = arguments[0] == self.pilotage and any(self.data in a for a in arguments)
            if ours and arguments[1:2] == [kind]:
                found.append((int(pid), arguments))
        return found

    def stop(self):
        """Ends every process of this world: the server first, then what it started."""
        if self.server:
            self.server.terminate()
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
        for kind in ("runner", "keep", "proxy"):
            for pid, _ in self.processes(kind):
                end(pid)
        for pid in self.replicas():
            end(pid)

    def replicas(self):
        """The programs that run from this world's releases."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(self.data):
                    found.append(int(pid))
            except OSError:
                continue
        return found

    # Its API.

    def api(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def deployments(self, environment):
        return self.api("GET", f"projects/{PROJECT}/deployments?environment={environment}")

    def deployment(self, number):
        return self.api("GET", f"deployments/{number}")

    def command(self, *arguments):
        """Runs `pilotage`, and gives what it printed."""
        environment = dict(os.environ, PILOTAGE_URL=self.url, PILOTAGE_TOKEN=self.token, PILOTAGE_PROJECT=PROJECT)
        done = subprocess.run([self.pilotage, *arguments], env=environment, text=True, cwd=self.project
                              if os.path.isdir(self.project) else None, capture_output=True, timeout=120)
        if done.returncode:
            raise Fault(f"pilotage {' '.join(arguments)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    # The project.

    def create_project(self):
        self.command("project", "create", PROJECT)
        shutil.copytree(self.example, self.project, ignore=shutil.ignore_patterns("changes", "__pycache__"))
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "Demo")
        self.git("config", "user.email", "demo@localhost")
        self.git("remote", "add", "origin", f"{self.url.replace('://', f'://demo:{self.token}@')}/{PROJECT}.git")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "A program that greets")

    def git(self, *arguments):
        done = subprocess.run(["git", *arguments], cwd=self.project, text=True, capture_output=True, timeout=120)
        if done.returncode:
            raise Fault(f"git {' '.join(arguments[:2])}: {done.stderr}")
        return done.stdout + done.stderr

    def change(self, name, message):
        """Applies a change of the example's source, and commits it."""
        self.git("apply", os.path.join(self.example, "changes", f"{name}.patch"))
        self.git("commit", "--quiet", "--all", "--message", message)

    def revert(self):
        self.git("revert", "--no-edit", "HEAD")


class Load:
    """The client process, and what it has seen. It sends at a constant rate and never tries again."""

    def __init__(self, world, address, rate):
        self.process = subprocess.Popen([world.load_client, address, "/", str(rate)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.samples = []
        self.lock = threading.Lock()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            due, took, outcome, revision, name = line.split()
            with self.lock:
                self.samples.append((int(due), int(took), outcome, revision, name))

    def between(self, start, end):
        """Samples that were due between two times (seconds since 1970). Waits for those that are still out."""
        deadline = time.time() + 6
        while time.time() < deadline:
            with self.lock:
                if self.samples and self.samples[-1][0] > end * 1e6:
                    break
            time.sleep(0.05)
        time.sleep(0.2)
        with self.lock:
            return [s for s in self.samples if start * 1e6 <= s[0] < end * 1e6]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(15)


def failed(sample):
    return not sample[2].isdigit() or int(sample[2]) >= 500


def lost(sample):
    return not sample[2].isdigit()


def end(pid):
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def tail(path):
    with open(path, errors="replace") as file:
        return "".join(file.readlines()[-10:]).strip()


def need_free(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise Fault(f"the demo needs {address}, which is taken: {error.strerror}. Stop what listens there.")
