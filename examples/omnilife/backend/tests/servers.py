"""Real servers for the tests, on free ports, with their data in a folder that goes afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis


def program(name: str, *folders: str) -> str:
    """Where a server's program is. There is no doing without: whoever lacks it says so with `-m "not services"`."""
    places = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        raise RuntimeError(f'{name} is not installed; run `pytest -m "not services"` to do without it')
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def postgresql() -> Iterator[str]:
    """Gives the address of an empty database."""
    newest_first = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    initdb, pg_ctl = program("initdb", *newest_first), program("pg_ctl", *newest_first)
    # PostgreSQL refuses to be root.
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="omnilife-pg-", ignore_cleanup_errors=True) as folder:
        if as_user:
            shutil.chown(folder, "postgres", "postgres")
        data, port = f"{folder}/data", free_port()
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=50"

        def run(*command: str) -> None:
            done = subprocess.run(
                [*as_user, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            assert done.returncode == 0, done.stdout

        run(initdb, "--pgdata", data, "--username", "omnilife", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        # Without a file for its log it would hold our pipe open.
        run(pg_ctl, "--pgdata", data, "--wait", "--log", f"{folder}/log", "--options", options, "start")
        try:
            yield f"postgresql+psycopg://omnilife@127.0.0.1:{port}/postgres"
        finally:
            run(pg_ctl, "--pgdata", data, "--wait", "--mode", "immediate", "stop")


class RedisServer:
    def __init__(self, folder: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self._folder, "--save", ""]
        self._process = subprocess.Popen(
            [program("redis-server"), *options], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout is not None
        heard = []
        for line in self._process.stdout:
            heard.append(line)
            if "Ready to accept connections" in line:
                return
        raise AssertionError("".join(heard))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="omnilife-redis-") as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
