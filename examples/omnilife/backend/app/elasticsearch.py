"""Elasticsearch's HTTP interface, as far as the search needs it."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import httpx2 as httpx

from app.breaker import Breaker
from app.search import Document, Reference

# How long it may take, before the database answers instead.
ELASTICSEARCH_SECONDS = 1.0
HEALTH_SECONDS = 0.25
INDEX = "omnilife"
MAPPING = {
    "mappings": {
        "dynamic": "strict",
        "properties": {"user_id": {"type": "long"}, "text": {"type": "text"}},
    }
}

T = TypeVar("T")


class Elasticsearch:
    """No method raises: when it fails, we do without."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=ELASTICSEARCH_SECONDS)
        self._breaker = Breaker("elasticsearch")
        self._has_index = False

    def find(self, user_id: int, words: str, limit: int) -> list[Reference] | None:
        matches = {"match": {"text": {"query": words, "operator": "and"}}}
        prefixes = {"match_phrase_prefix": {"text": {"query": words}}}
        query = {
            "query": {
                "bool": {
                    "filter": [{"term": {"user_id": user_id}}],
                    "should": [matches, prefixes],
                    "minimum_should_match": 1,
                }
            },
            "size": limit,
            "_source": False,
        }
        return self._ask(_references, "POST", f"/{INDEX}/_search", json=query)

    def write(self, documents: Sequence[Document]) -> bool:
        lines: list[Any] = []
        for (kind, thing_id), source in documents:
            place = {"_index": INDEX, "_id": f"{kind}-{thing_id}"}
            lines += [{"delete": place}] if source is None else [{"index": place}, source]
        body = "".join(f"{json.dumps(line)}\n" for line in lines)
        headers = {"Content-Type": "application/x-ndjson"}
        return self._ask(_took_all, "POST", "/_bulk", content=body, headers=headers) or False

    def is_up(self) -> bool:
        return self._ask(bool, "GET", "/_cluster/health", timeout=HEALTH_SECONDS) or False

    def close(self) -> None:
        self._http.close()

    def _ask(self, read: Callable[[Any], T], method: str, path: str, **request: Any) -> T | None:
        if not self._breaker.allows():
            return None
        try:
            if not self._has_index:
                self._make_index()
            answer = self._http.request(method, path, **request)
            answer.raise_for_status()
            return read(answer.json())
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            self._breaker.failed(error)
            return None

    def _make_index(self) -> None:
        answer = self._http.put(f"/{INDEX}", json=MAPPING)
        # 400 says that it is there already.
        if answer.status_code != 400:
            answer.raise_for_status()
        self._has_index = True


def _references(found: Any) -> list[Reference]:
    return [_reference(hit["_id"]) for hit in found["hits"]["hits"]]


def _took_all(written: Any) -> bool:
    if written["errors"]:
        raise ValueError(f"not everything was taken: {written['items'][:1]}")
    return True


def _reference(name: str) -> Reference:
    kind, _, number = name.partition("-")
    return ("habit" if kind == "habit" else "entry"), int(number)
