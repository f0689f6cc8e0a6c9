"""The stage of the demo: a server with its data, a project with its git remote, a client that sends all the time.

Nothing here knows how Pilotage works inside: it is used by git, by its command line and by its API.
"""

import http.server
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
# What stays behind when an example becomes a project: what its tools made, and the changes that the show makes.
LEFT_OUT = ("changes", "__pycache__", "node_modules", ".venv", "dist", "reports", ".*_cache", "*.db*")


class Fault(Exception):
    """Something was not as it should be."""


class World:
    def __init__(self, binaries, root, example, project, listen=LISTEN):
        self.name = project
        self.listen = listen
        self.root = root
        self.pilotage = os.path.join(os.path.abspath(binaries), "pilotage")
        self.load_client = os.path.join(os.path.abspath(binaries), "load")
        self.data = os.path.join(root, "data")
        self.click_program = os.path.join(os.path.abspath(binaries), "click")
        self.project = os.path.join(root, project.split("/")[1])
        self.example = os.path.abspath(example)
        self.log = open(os.path.join(root, "serve.log"), "ab")
        self.url = f"http://{listen}"
        self.config = None
        self.server = None
        self.token = ""

    # The server.

    def configure(self, text):
        """What stands in `server.yml`."""
        self.config = os.path.join(os.path.dirname(self.data), "server.yml")
        with open(self.config, "w") as file:
            file.write(text)

    def start(self):
        config = ["--config", self.config] if self.config else []
        self.server = subprocess.Popen(
            [self.pilotage, "serve", "--data", self.data, "--listen", self.listen, *config],
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
        return self.api("GET", f"projects/{self.name}/deployments?environment={environment}")

    def deployment(self, number):
        return self.api("GET", f"deployments/{number}")

    def command(self, *arguments):
        """Runs `pilotage`, and gives what it printed."""
        environment = dict(os.environ, PILOTAGE_URL=self.url, PILOTAGE_TOKEN=self.token, PILOTAGE_PROJECT=self.name)
        done = subprocess.run([self.pilotage, *arguments], env=environment, text=True, cwd=self.project
                              if os.path.isdir(self.project) else None, capture_output=True, timeout=120)
        if done.returncode:
            raise Fault(f"pilotage {' '.join(arguments)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    # The project.

    def create_project(self):
        self.command("project", "create", self.name)
        shutil.copytree(self.example, self.project, ignore=shutil.ignore_patterns(*LEFT_OUT))
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "Demo")
        self.git("config", "user.email", "demo@localhost")
        self.git("remote", "add", "origin", f"{self.url.replace('://', f'://demo:{self.token}@')}/{self.name}.git")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "The program, as it is")

    def click(self, token, path, *buttons):
        """A person with a browser, signed in by a token: opens a page and clicks."""
        done = subprocess.run([self.click_program, self.url, path, *buttons], text=True, capture_output=True,
                              timeout=60, env=dict(os.environ, PILOTAGE_TOKEN=token, RUST_BACKTRACE="0"))
        if done.returncode:
            raise Fault(f"in the browser, {path}: {done.stderr.strip()[:1000]}")
        return done.stdout

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

    def __init__(self, world, address, path, rate, *headers):
        # Where a request tells who asks, it only reads; elsewhere one in ten posts.
        more = ["0", *headers] if headers else []
        self.process = subprocess.Popen([world.load_client, address, path, str(rate), *more],
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


class Slack:
    """Stands where Slack would: takes a message as an incoming webhook does, and refuses what is none."""

    def __init__(self):
        self.messages = []
        slack = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 40_000))
                try:
                    message = json.loads(body)
                    good = isinstance(message, dict) and (message.get("text") or message.get("blocks"))
                except ValueError:
                    good = False
                if good:
                    slack.messages.append(message)
                self.send_response(200 if good else 400)
                self.end_headers()
                self.wfile.write(b"ok" if good else b"no_text")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/T0/B0/demo"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def texts(self):
        return [" ".join(str(m.get("text", "")).split()) for m in self.messages]


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
