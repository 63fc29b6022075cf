"""The part of Weaviate that the adapter uses: its schema over HTTP, its objects over gRPC.

Made after the proto files that come with the client, and the documents on tenants, filters and tokens. It refuses what
those do not allow, so that the adapter cannot come to rely on it.
"""

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from struct import pack, unpack
from threading import Lock
from typing import Any, Final
from uuid import UUID

import grpc
from google.protobuf.json_format import MessageToDict
from weaviate.proto.v1 import (
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    properties_pb2,
    search_get_pb2,
    tenants_pb2,
)

from tests.indexes.loopback import Request, answering

KEY: Final = "a-key"
_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST: Final = 10_000
Operator = base_pb2.Filters


@dataclass
class Stored:
    """An object of a tenant."""

    uuid: str
    properties: dict[str, Any]
    vector: list[float] | None


@dataclass
class WeaviateServer:
    """Collections and what is in them. `failing` is the gRPC code with which everything is answered.

    Objects with the text `refusing` are refused. `late`: another process makes each collection just before it is made;
    `closed`: none can be made.
    """

    schema: dict[str, Any] = field(default_factory=dict[str, Any])
    tenants: dict[str, dict[str, Stored]] = field(default_factory=dict[str, dict[str, Stored]])
    failing: grpc.StatusCode | None = None
    refusing: str = ""
    late: bool = False
    closed: bool = False
    lengths: set[int] = field(default_factory=set[int])
    lock: Lock = field(default_factory=Lock)

    def empty(self) -> None:
        """Forget everything."""
        for kept in (self.schema, self.tenants, self.lengths):
            kept.clear()

    @contextmanager
    def running(self) -> Generator[tuple[str, int]]:
        """Serve for the time of the block; the URL of the HTTP part, and the port of the gRPC part."""
        server = grpc.server(ThreadPoolExecutor(8), handlers=[_Handler(self)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with answering(self.answer) as url:
                yield url, port
        finally:
            server.stop(None).wait()

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {}
        parts = request.path.removeprefix("/v1/").split("/")
        if parts == ["meta"]:
            return 200, {"version": "1.36.0", "hostname": "here", "modules": {}}
        if (request.method, parts) == ("POST", ["schema"]):
            return self._make(request.body)
        name = parts[1]
        if name not in self.schema:
            return 404, {}
        if parts[2:] == []:
            return 200, self.schema[name]
        if request.method == "DELETE":
            for tenant in request.body:
                self.tenants.pop(tenant, None)
            return 200, {}
        return (200 if parts[3] in self.tenants else 404), {}

    def _make(self, body: Any) -> tuple[int, Any]:
        tokens = {one["name"]: one.get("tokenization") for one in body["properties"]}
        assert tokens["tags"] == "field"
        assert tokens["words"] == "whitespace"
        assert body["multiTenancyConfig"]["enabled"]
        assert body["multiTenancyConfig"]["autoTenantCreation"]
        assert body["invertedIndexConfig"]["stopwords"]["preset"] == "none"
        vectors = body["vectorConfig"]["vector"]
        assert vectors["vectorizer"] == {"none": {}}
        assert vectors["vectorIndexType"] == "flat"
        assert vectors["vectorIndexConfig"]["distance"] == "cosine"
        if self.closed:
            return 403, {}
        self.schema[body["class"]] = body
        return (422 if self.late else 200), body

    def batch(self, request: Any) -> Any:
        errors: list[Any] = []
        for number, one in enumerate(request.objects):
            assert one.collection in self.schema
            assert _TENANT.fullmatch(one.tenant)
            assert not one.vector_bytes
            assert all(given.name == "vector" for given in one.vectors)
            vector = _numbers(one.vectors[0].vector_bytes) if one.vectors else None
            problem = "refused" if self.refusing and self.refusing in str(one) else self._problem(vector)
            if problem:
                errors.append(batch_pb2.BatchObjectsReply.BatchError(index=number, error=problem))
                continue
            properties: dict[str, Any] = MessageToDict(one.properties.non_ref_properties)
            properties |= {array.prop_name: list(array.values) for array in one.properties.text_array_properties}
            self.tenants.setdefault(one.tenant, {})[one.uuid] = Stored(one.uuid, properties, vector)
        return batch_pb2.BatchObjectsReply(errors=errors)

    def _problem(self, vector: Sequence[float] | None) -> str:
        if vector is None:
            return ""
        self.lengths.add(len(vector))
        return "" if len(self.lengths) == 1 else "new node has a vector with another length"

    def search(self, request: Any) -> Any:
        kept = self._in(request)
        assert 0 < request.limit <= _MOST
        fitting = [one for one in kept if _fits(one, request.filters)] if request.HasField("filters") else kept
        found = self._found(request, fitting)
        results = [_result(one, request, score) for one, score in found[: request.limit]]
        return search_get_pb2.SearchReply(results=results)

    def _found(self, request: Any, fitting: list[Stored]) -> list[tuple[Stored, float]]:
        if request.HasField("near_vector"):
            near = request.near_vector
            assert list(near.targets.target_vectors) == ["vector"]
            asked = _numbers(near.vectors[0].vector_bytes)
            assert {len(asked)} == self.lengths
            scored = [(one, 1 - _product(asked, one.vector)) for one in fitting if one.vector is not None]
            return sorted(scored, key=lambda pair: pair[1])
        if request.HasField("bm25_search"):
            assert list(request.bm25_search.properties) == ["words"]
            asked_words = set(request.bm25_search.query.split())
            shared = [(one, asked_words & set(str(one.properties["words"]).split())) for one in fitting]
            return sorted(((one, float(len(both))) for one, both in shared if both), key=lambda pair: -pair[1])
        assert not (request.after and request.HasField("filters"))
        return [(one, 0.0) for one in sorted(fitting, key=lambda one: one.uuid) if one.uuid > request.after]

    def delete(self, request: Any) -> Any:
        doomed = [one for one in self._in(request) if _fits(one, request.filters)]
        for one in doomed:
            del self.tenants[request.tenant][one.uuid]
        return batch_delete_pb2.BatchDeleteReply(matches=len(doomed), successful=len(doomed))

    def list_tenants(self, request: Any) -> Any:
        asked = list(request.names.values) or list(self.tenants)
        hot = tenants_pb2.TENANT_ACTIVITY_STATUS_ACTIVE
        return tenants_pb2.TenantsGetReply(
            tenants=[tenants_pb2.Tenant(name=name, activity_status=hot) for name in asked if name in self.tenants]
        )

    def _in(self, request: Any) -> list[Stored]:
        assert request.collection in self.schema
        if request.tenant not in self.tenants:
            raise LookupError(f'tenant not found: "{request.tenant}"')
        return list(self.tenants[request.tenant].values())


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, server: WeaviateServer) -> None:
        self._server = server
        self._methods: dict[str, tuple[Callable[[Any], Any], Any]] = {
            "BatchObjects": (server.batch, batch_pb2.BatchObjectsRequest),
            "Search": (server.search, search_get_pb2.SearchRequest),
            "BatchDelete": (server.delete, batch_delete_pb2.BatchDeleteRequest),
            "TenantsGet": (server.list_tenants, tenants_pb2.TenantsGetRequest),
        }

    def service(self, handler_call_details: Any) -> Any:
        details = handler_call_details
        answer, request = self._methods[details.method.removeprefix("/weaviate.v1.Weaviate/")]
        told = dict(details.invocation_metadata)

        def call(asked: Any, context: Any) -> Any:
            if told.get("authorization") != f"Bearer {KEY}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")
            if self._server.failing is not None:
                context.abort(self._server.failing, "no")
            try:
                with self._server.lock:
                    return answer(asked)
            except (AssertionError, LookupError) as error:
                context.abort(grpc.StatusCode.UNKNOWN, repr(error))

        made: Any = grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=request.FromString, response_serializer=_sent
        )
        return made


def _sent(reply: Any) -> bytes:
    return reply.SerializeToString()


def _fits(one: Stored, asked: Any) -> bool:
    if asked.operator == Operator.OPERATOR_AND:
        return all(_fits(one, part) for part in asked.filters)
    if asked.operator == Operator.OPERATOR_OR:
        return any(_fits(one, part) for part in asked.filters)
    if asked.target.property == "_id":
        if asked.operator == Operator.OPERATOR_EQUAL:
            return one.uuid == asked.value_text
        assert asked.operator == Operator.OPERATOR_CONTAINS_ANY
        return one.uuid in asked.value_text_array.values
    value = one.properties.get(asked.target.property)
    if asked.operator == Operator.OPERATOR_CONTAINS_ALL:
        return {part.strip() for part in asked.value_text_array.values} <= {part.strip() for part in value or ()}
    if value is None:
        return False
    if asked.operator == Operator.OPERATOR_GREATER_THAN_EQUAL:
        return value >= asked.value_number
    assert asked.operator == Operator.OPERATOR_LESS_THAN_EQUAL
    return value <= asked.value_number


def _result(one: Stored, request: Any, score: float) -> Any:
    wanted = request.properties
    shown = {
        name: _value(value)
        for name, value in one.properties.items()
        if not request.HasField("properties") or name in wanted.non_ref_properties
    }
    metadata = search_get_pb2.MetadataResult(id=one.uuid, id_as_bytes=UUID(one.uuid).bytes)
    if request.metadata.distance:
        metadata.distance, metadata.distance_present = score, True
    if request.metadata.score:
        metadata.score, metadata.score_present = score, True
    if (request.metadata.vector or request.metadata.vectors) and one.vector is not None:
        metadata.vectors.append(
            base_pb2.Vectors(
                name="vector",
                vector_bytes=pack(f"<{len(one.vector)}f", *one.vector),
                type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32,
            )
        )
    properties = search_get_pb2.PropertiesResult(non_ref_props=properties_pb2.Properties(fields=shown))
    return search_get_pb2.SearchResult(properties=properties, metadata=metadata)


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return properties_pb2.Value(text_value=value)
    if isinstance(value, float):
        return properties_pb2.Value(number_value=value)
    texts = properties_pb2.TextValues(values=value)
    return properties_pb2.Value(list_value=properties_pb2.ListValue(text_values=texts))


def _numbers(raw: bytes) -> list[float]:
    return list(unpack(f"<{len(raw) // 4}f", raw))


def _product(one: Iterable[float], other: Iterable[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
