"""`compose.yaml` and the images it builds, as far as that can be told without running them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from app.settings import Settings
from tests.backend import FOLDER

EXAMPLE = FOLDER.parent


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    return found


def test_everything_is_reached_from_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert ports == {
        "postgres": ["127.0.0.1:5432:5432"],
        "redis": ["127.0.0.1:6379:6379"],
        "elasticsearch": ["127.0.0.1:9200:9200"],
        "migrate": [],
        "backend": ["127.0.0.1:8001:8001"],
        "frontend": ["127.0.0.1:3000:3000"],
    }


def test_the_backend_takes_its_settings(services: dict[str, dict[str, Any]]) -> None:
    settings = Settings.from_environment(services["backend"]["environment"])
    assert settings == Settings(
        database_url="postgresql+psycopg://omnilife:omnilife@postgres/omnilife",
        redis_url="redis://redis:6379/0",
        elasticsearch_url="http://elasticsearch:9200",
    )
    assert services["migrate"]["environment"] == services["backend"]["environment"]


def test_nothing_waits_for_what_never_comes(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            checked = "healthcheck" in services[other] or "HEALTHCHECK" in dockerfile(services[other])
            ends = how["condition"] == "service_completed_successfully"
            assert ends or checked, f"{name} waits for the health of {other}, which has no check"


def dockerfile(service: dict[str, Any]) -> str:
    folder = service.get("build")
    return (EXAMPLE / folder / "Dockerfile").read_text() if folder else ""


@pytest.mark.parametrize("folder", ["backend", "frontend"])
def test_images_are_made_of_what_is_there(folder: str) -> None:
    text = dockerfile({"build": folder})
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2, "one stage to build, one to serve"
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY") and "--from=" not in line]
    missing = [name for names in copied for name in names if not Path(EXAMPLE, folder, name).exists()]
    assert copied and not missing
