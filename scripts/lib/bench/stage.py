"""Where it is measured: a folder of its own, processes that end with it, ports that are free."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class Fault(Exception):
    """Something could not be measured."""


class Stage:
    def __init__(self, binaries, quick):
        self.pilotage = os.path.join(os.path.abspath(binaries), "pilotage")
        self.quick = quick
        self.root = tempfile.mkdtemp(prefix="pilotage-bench-")
        self.log = open(os.path.join(self.root, "programs.log"), "ab")
        self.started = []

    def size(self, whole, quick):
        return quick if self.quick else whole

    def folder(self, name):
        path = os.path.join(self.root, name)
        os.makedirs(path, exist_ok=True)
        return path

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, *command, **options):
        """A process that ends with the stage at the latest."""
        options = {"stdin": subprocess.DEVNULL, "stdout": self.log, "stderr": self.log} | options
        process = subprocess.Popen(command, **options)
        self.started.append(process)
        return process

    def run(self, *command, timeout=300, **options):
        """A command's output; a fault where it fails."""
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **options)
        if done.returncode:
            raise Fault(f"{' '.join(command[:3])} ended with {done.returncode}: {last(done.stderr or done.stdout)}")
        return done.stdout

    def ours(self):
        """Processes of our program that name this stage's folder; keepers and runners outlive what started them."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    arguments = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if arguments[0] == self.pilotage and any(self.root in argument for argument in arguments):
                found.append((int(pid), arguments))
        return found

    def end(self):
        for process in reversed(self.started):
            stop(process)
        # A keeper starts its process again, so they go first; a runner's jobs end with it.
        for kind in ("keep", "runner", "proxy"):
            for pid, arguments in self.ours():
                if arguments[1:2] == [kind]:
                    end(pid)
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)


def stop(process, patience=10):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end(pid, patience=5):
    """Asks a process that is not our child to end, then makes it."""
    for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 1)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + wait
        while time.monotonic() < until:
            if not os.path.exists(f"/proc/{pid}") or zombie(pid):
                return
            time.sleep(0.02)


def zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until_listening(port, what, patience=10):
    until = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise Fault(f"{what} does not listen on port {port}") from None
            time.sleep(0.02)


def last(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
