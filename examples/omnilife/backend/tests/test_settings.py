import json
import logging

import pytest

from app.log import JsonLines
from app.settings import Settings, SettingsError


def test_nothing_needs_to_be_set() -> None:
    assert Settings.from_environment({}) == Settings(database_url="sqlite:///omnilife.db")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("sqlite:////var/lib/omnilife.db", "sqlite:////var/lib/omnilife.db"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://u:p@h/d?sslmode=require", "postgresql+psycopg://u:p@h/d?sslmode=require"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
    ],
)
def test_databases(given: str, url: str) -> None:
    assert Settings.from_environment({"DATABASE_URL": given}).database_url == url


def test_all_of_it() -> None:
    variables = {
        "DATABASE_URL": "sqlite:///x.db",
        "REDIS_URL": "redis://cache/0",
        "ELASTICSEARCH_URL": "http://search:9200",
        "LOG_LEVEL": "DEBUG",
        "PILOTAGE_REVISION": "c8f2d4b",
        "PILOTAGE_ENVIRONMENT": "production",
    }
    expected = ("sqlite:///x.db", "redis://cache/0", "http://search:9200", "debug", "c8f2d4b", "production")
    assert Settings.from_environment(variables) == Settings(*expected)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"DATABASE_URL": "mysql://h/d"}, "DATABASE_URL must begin"),
        ({"DATABASE_URL": "omnilife.db"}, "DATABASE_URL must begin"),
        ({"REDIS_URL": "cache:6379"}, "REDIS_URL must begin with redis://"),
        ({"ELASTICSEARCH_URL": "search:9200"}, "ELASTICSEARCH_URL must begin with http://"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'"),
        ({"PILOTAGE_ENVIRONMENT": "production"}, "production needs DATABASE_URL"),
    ],
)
def test_what_makes_no_sense_is_refused(variables: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        Settings.from_environment(variables)


def test_a_log_line_is_one_line_of_json() -> None:
    record = logging.LogRecord("app", logging.INFO, "f.py", 1, "said %s", ("a\nb\u2028é",), None)
    record.__dict__["fields"] = {"status": 200}
    line = JsonLines("abc1234").format(record)
    assert "\n" not in line
    written = json.loads(line)
    assert {**written, "at": ""} == {
        "at": "",
        "level": "info",
        "message": "said a\nb\u2028é",
        "revision": "abc1234",
        "status": 200,
    }
