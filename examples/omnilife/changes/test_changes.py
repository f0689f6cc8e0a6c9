"""Each change applies to the sources as they are, and does what the show says of it.

A bad change is bad only where it is deployed: no test of the pipeline finds it, so it is the guard that has to.
Run in `backend`:  .venv/bin/python -m pytest -c pyproject.toml ../changes
"""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx2 as httpx
import pytest

from tests.backend import Person, backend

CHANGES = Path(__file__).parent
EXAMPLE = CHANGES.parent
NOT_SOURCES = shutil.ignore_patterns(".venv", "node_modules", "dist", "reports", "__pycache__", ".*_cache", "*.db*")


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str], Path]:
    def apply(name: str) -> Path:
        tree = tmp_path / name
        for part in ("backend", "frontend"):
            shutil.copytree(EXAMPLE / part, tree / part, ignore=NOT_SOURCES)
        if name != "none":
            done = subprocess.run(
                ["git", "apply", CHANGES / f"{name}.patch"],
                cwd=tree,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert done.returncode == 0, done.stderr
        return tree

    return apply


def migrated(tree: Path) -> str:
    url = f"sqlite:///{tree}/omnilife.db"
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
    subprocess.run(
        command,
        cwd=tree / "backend",
        env=environment,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return url


@contextmanager
def serving(tree: Path, environment: str = "production") -> Iterator[httpx.Client]:
    variables = {
        "DATABASE_URL": migrated(tree),
        "LOG_LEVEL": "error",
        "PILOTAGE_ENVIRONMENT": environment,
    }
    with backend(tree / "backend", **variables) as process, httpx.Client(base_url=process.url) as client:
        yield client


def answers(client: httpx.Client, path: str, times: int) -> Counter[int]:
    return Counter(client.get(path).status_code for _ in range(times))


# Nobody is signed in, so the answer of a good release is 401: a program that decides, and no error of the server.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", {401: 50}),
        ("errors-20", {401: 40, 500: 10}),
        ("errors-all", {500: 50}),
        ("backend-only", {401: 50}),
    ],
)
def test_where_it_is_deployed(changed: Callable[[str], Path], name: str, expected: dict[int, int]) -> None:
    with serving(changed(name)) as client:
        assert answers(client, "/api/habits", 50) == expected
        # It starts and calls itself healthy: only those who use it can tell.
        assert answers(client, "/health", 5) == {200: 5}
        assert answers(client, "/api/health", 5) == {200: 5}


@pytest.mark.parametrize("name", ["errors-20", "errors-all", "slow", "crash", "backend-only"])
def test_where_the_pipeline_tests_it(changed: Callable[[str], Path], name: str) -> None:
    with serving(changed(name), environment="") as client:
        ana = Person(client)
        ana.check_in(ana.habit())
        assert [ana.get("/api/habits")["total"] for _ in range(10)] == [1] * 10


def test_slow_is_at_least_twice_as_slow(changed: Callable[[str], Path]) -> None:
    def milliseconds(name: str) -> float:
        with serving(changed(name)) as client:
            ana = Person(client)
            ana.check_in(ana.habit())
            took = []
            for _ in range(40):
                began = time.perf_counter()
                ana.get("/api/habits")
                took.append((time.perf_counter() - began) * 1000)
            return median(took)

    before, after = milliseconds("none"), milliseconds("slow")
    assert after > 2 * before, (before, after)


def test_crash_ends_at_its_start(changed: Callable[[str], Path]) -> None:
    tree = changed("crash")
    with pytest.raises(AssertionError, match="KeyError: 'OMNILIFE_REGION'"), serving(tree):
        pass


def test_backend_only_shows_in_what_is_answered(changed: Callable[[str], Path]) -> None:
    with serving(changed("none")) as client:
        assert "cache-control" not in client.get("/api/version").headers
    with serving(changed("backend-only")) as client:
        assert client.get("/api/version").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("backend-only", "backend/app"),
        ("crash", "backend/app"),
        ("errors-20", "backend/app"),
        ("errors-all", "backend/app"),
        ("slow", "backend/app"),
        ("frontend-only", "frontend/src"),
    ],
)
def test_only_sources_of_one_service_change(changed: Callable[[str], Path], name: str, part: str) -> None:
    before, after = changed("none"), changed(name)
    differing = [
        path.relative_to(after)
        for path in after.rglob("*")
        if path.is_file() and path.read_bytes() != (before / path.relative_to(after)).read_bytes()
    ]
    assert len(differing) == 1 and differing[0].is_relative_to(part), differing
