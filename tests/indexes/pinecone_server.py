"""The part of Pinecone's data plane that the adapter uses, after its public API reference (version 2026-07).

It refuses what the reference does not allow, so that the adapter cannot come to rely on it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Final

from tests.indexes.loopback import Request

KEY: Final = "a-key"
_NAME: Final = re.compile(r"[ -~]{1,512}")
_PER_REQUEST: Final = 1000
_PER_PAGE: Final = 50  # small, so that there are several pages

Record = dict[str, Any]


class PineconeServer:
    """One index of `dimension`."""

    def __init__(self, dimension: int) -> None:
        self.dimension: int = dimension
        self.namespaces: dict[str, dict[str, Record]] = {}
        self.requests: list[Request] = []
        self._lock = Lock()

    def answer(self, request: Request) -> tuple[int, Any]:
        with self._lock:
            return self._answer(request)

    def _answer(self, request: Request) -> tuple[int, Any]:
        self.requests.append(request)
        if request.headers.get("api-key") != KEY or "x-pinecone-api-version" not in request.headers:
            return 401, {"code": 16, "message": "no key or no version", "details": []}
        routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("POST", "/vectors/upsert"): self._upsert,
            ("POST", "/query"): self._query,
            ("GET", "/vectors/fetch"): self._fetch,
            ("GET", "/vectors/list"): self._list,
            ("POST", "/vectors/delete"): self._delete,
            ("POST", "/describe_index_stats"): self._stats,
            ("GET", "/namespaces"): self._namespaces,
        }
        path = "/namespaces/" if request.path.startswith("/namespaces/") else request.path
        if (request.method, path) == ("DELETE", "/namespaces/"):
            return 200, self._delete_namespace(request.path.removeprefix("/namespaces/"))
        try:
            return 200, routes[request.method, path](request)
        except (AssertionError, KeyError) as error:
            return 400, {"code": 3, "message": f"{request.method} {path}: {error!r}", "details": []}

    def _upsert(self, request: Request) -> Any:
        vectors, namespace = request.body["vectors"], _name(request.body["namespace"])
        assert set(request.body) == {"vectors", "namespace"}
        assert 0 < len(vectors) <= _PER_REQUEST
        for one in vectors:
            assert set(one) == {"id", "values", "metadata"}
            _name(one["id"])
            assert len(one["values"]) == self.dimension
            assert any(one["values"])
            for value in one["metadata"].values():
                assert isinstance(value, str | bool | float | int) or all(isinstance(part, str) for part in value)
        self.namespaces.setdefault(namespace, {}).update({one["id"]: one for one in vectors})
        return {"upsertedCount": len(vectors)}

    def _query(self, request: Request) -> Any:
        body = request.body
        assert set(body) == {"vector", "topK", "namespace", "filter", "includeMetadata", "includeValues"}
        assert 1 <= body["topK"] <= 10_000
        assert len(body["vector"]) == self.dimension
        found = [one for one in self._in(body["namespace"]).values() if _passes(one["metadata"], body["filter"])]
        matches = [
            {"id": one["id"], "score": _product(one["values"], body["vector"]), "metadata": one["metadata"]}
            for one in found
        ]
        scored = sorted(matches, key=lambda match: -match["score"])
        return {"matches": scored[: body["topK"]], "namespace": body["namespace"], "usage": {"readUnits": 1}}

    def _fetch(self, request: Request) -> Any:
        (namespace,), asked = request.query["namespace"], request.query["ids"]
        assert len(asked) <= _PER_REQUEST
        kept = self._in(namespace)
        return {
            "vectors": {name: kept[name] for name in asked if name in kept},
            "namespace": namespace,
            "usage": {"readUnits": 1},
        }

    def _list(self, request: Request) -> Any:
        (namespace,), (limit,) = request.query["namespace"], request.query["limit"]
        assert 1 <= int(limit) <= 100
        names, page = _paged(self._in(namespace), request)
        return {"vectors": [{"id": name} for name in names], "namespace": namespace, "usage": {"readUnits": 1}, **page}

    def _delete(self, request: Request) -> Any:
        assert set(request.body) == {"ids", "namespace"}
        assert 0 < len(request.body["ids"]) <= _PER_REQUEST
        for name in request.body["ids"]:
            self._in(request.body["namespace"]).pop(name, None)
        return {}

    def _stats(self, request: Request) -> Any:
        assert request.body == {}
        return {"dimension": self.dimension, "indexFullness": 0, "totalVectorCount": 0, "namespaces": {}}

    def _namespaces(self, request: Request) -> Any:
        names, page = _paged(self.namespaces, request)
        shown = [{"name": name, "record_count": str(len(self.namespaces[name]))} for name in names]
        return {"namespaces": shown, **page}

    def _delete_namespace(self, name: str) -> Any:
        del self.namespaces[name]
        return {}

    def _in(self, namespace: str) -> dict[str, Record]:
        return self.namespaces.get(_name(namespace), {})


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _name(name: str) -> str:
    assert _NAME.fullmatch(name), name
    return name


def _paged(kept: Mapping[str, Any], request: Request) -> tuple[list[str], dict[str, Any]]:
    """Return a page of names, in no order that could be relied on, and what says how to go on."""
    names = sorted(kept, key=lambda name: name[::-1])
    start = int(request.query.get("paginationToken", ["0"])[0])
    more = {"pagination": {"next": str(start + _PER_PAGE)}} if start + _PER_PAGE < len(names) else {}
    return names[start : start + _PER_PAGE], more


def _passes(metadata: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    (all_of,) = asked.values()
    assert list(asked) == ["$and"]
    return all(_has(metadata[field], condition) for one in all_of for field, condition in one.items())


def _has(value: Any, condition: Mapping[str, Any]) -> bool:
    ((sign, wanted),) = condition.items()
    if sign == "$in":
        return any(part in wanted for part in value)
    if sign == "$eq":
        return type(value) is type(wanted) and value == wanted
    return value >= wanted if sign == "$gte" else value <= wanted
