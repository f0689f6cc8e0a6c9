"""What the environment says, read once and checked before anything starts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """A variable that is missing or makes no sense; the message says which."""


@dataclass(frozen=True)
class Settings:
    database_url: str
    redis_url: str | None = None
    elasticsearch_url: str | None = None
    log_level: str = "info"
    revision: str = "dev"
    # Where it is deployed; empty on a developer's machine and in tests.
    environment: str = ""

    @staticmethod
    def from_environment(variables: Mapping[str, str] = os.environ) -> "Settings":
        environment = variables.get("PILOTAGE_ENVIRONMENT", "")
        log_level = variables.get("LOG_LEVEL", "").lower() or "info"
        if log_level not in LOG_LEVELS:
            raise SettingsError(f"LOG_LEVEL is {log_level!r}, and must be one of {', '.join(LOG_LEVELS)}")
        return Settings(
            database_url=_database_url(variables.get("DATABASE_URL", ""), environment),
            redis_url=_url(variables, "REDIS_URL", ("redis://", "rediss://", "unix://")),
            elasticsearch_url=_url(variables, "ELASTICSEARCH_URL", ("http://", "https://")),
            log_level=log_level,
            revision=variables.get("PILOTAGE_REVISION", "") or "dev",
            environment=environment,
        )


def _database_url(url: str, environment: str) -> str:
    if not url:
        if environment:
            # The folder of a release goes when the release goes, and each release has another one.
            raise SettingsError(f"{environment} needs DATABASE_URL: a release must not keep its data in its own folder")
        return "sqlite:///omnilife.db"
    scheme, separator, rest = url.partition("://")
    if separator and scheme in ("postgres", "postgresql"):
        return f"postgresql+psycopg://{rest}"
    if separator and scheme in ("sqlite", "postgresql+psycopg"):
        return url
    raise SettingsError("DATABASE_URL must begin with sqlite:// or postgresql://")


def _url(variables: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str | None:
    url = variables.get(name, "")
    if url and not url.startswith(schemes):
        raise SettingsError(f"{name} must begin with {' or '.join(schemes)}")
    return url or None
