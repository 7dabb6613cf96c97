"""The registry over HTTP: its shapes, its error numbers, and whom it lets change things."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.topics import DOWNLOADS_TOPIC
from ingestion.schema_registry.errors import RegistryError
from ingestion.schema_registry.own_contracts import register_own
from ingestion.schema_registry.service import SchemaRegistry
from ingestion.schema_registry.store import InMemoryRegistryStore
from ingestion.sinks import InMemorySink
from local_stack.waiting import wait_until
from tests.unit.ingestion.builders import READ_KEY, WRITE_KEY, EdgeClient, running_edge

V1 = {"type": "record", "name": "Event", "fields": [{"name": "id", "type": "string"}]}
V2 = {**V1, "fields": [*V1["fields"], {"name": "note", "type": ["null", "string"], "default": None}]}
BREAKING = {**V1, "fields": [*V1["fields"], {"name": "amount", "type": "long"}]}

Edge = tuple[EdgeClient, InMemorySink]


def body(schema: Any, **others: Any) -> dict[str, Any]:
    """A request's body."""
    return {"schema": schema if isinstance(schema, str) else json.dumps(schema), **others}


def register(client: EdgeClient, subject: str, *schemas: Any) -> list[int]:
    """The ids of schemas that must be taken."""
    return [client.post(f"/subjects/{subject}/versions", json=body(schema)).json()["id"] for schema in schemas]


@pytest.fixture(scope="module")
def with_orders() -> Iterator[EdgeClient]:
    """A registry with one version of `orders`, for tests that are refused."""
    with running_edge() as (client, _):
        register(client, "orders", V1)
        yield client


def test_a_schema_has_one_id_whatever_the_subject_and_the_spelling(edge: Edge) -> None:
    client, _ = edge
    reordered = {"fields": [{"type": {"type": "string"}, "name": "id"}], "name": "Event", "type": "record"}
    spelt_otherwise = json.dumps(reordered, indent=4)
    first, second = register(client, "orders-value", V1, V2)
    assert register(client, "others-value", spelt_otherwise, V2) == [first, second]
    assert register(client, "orders-value", V1) == [first]
    assert client.get("/subjects/orders-value/versions").json() == [1, 2]
    assert client.get(f"/schemas/ids/{second}/versions").json() == [
        {"subject": "orders-value", "version": 2},
        {"subject": "others-value", "version": 2},
    ]
    assert client.get(f"/schemas/ids/{first}/subjects").json() == ["orders-value", "others-value"]


def test_a_version_is_described_and_found_by_its_schema(edge: Edge) -> None:
    client, _ = edge
    first, second = register(client, "orders-value", V1, V2)
    latest = client.get("/subjects/orders-value/versions/latest")
    assert latest.headers["content-type"] == "application/vnd.schemaregistry.v1+json"
    assert {**latest.json(), "schema": json.loads(latest.json()["schema"])} == {
        "subject": "orders-value", "version": 2, "id": second, "schema": V2,
    }  # fmt: skip
    assert client.get("/subjects/orders-value/versions/1/schema").json() == V1
    assert client.get(f"/schemas/ids/{first}/schema").json() == V1
    assert json.loads(client.get(f"/schemas/ids/{first}").json()["schema"]) == V1
    assert client.post("/subjects/orders-value", json=body(V1)).json()["version"] == 1


def test_a_subject_may_hold_a_slash(edge: Edge) -> None:
    client, _ = edge
    register(client, "a%2Fb%20c", V1)
    assert "a/b c" in client.get("/subjects").json()
    assert client.get("/subjects/a%2Fb%20c/versions/1").json()["subject"] == "a/b c"
    register(client, "a%2Fversions%2F1", V1)
    assert client.get("/subjects/a%2Fversions%2F1/versions").json() == [1]
    assert client.get("/subjects/a/versions/1").json()["error_code"] == 40401


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/subjects/none/versions", None, 404, 40401),
        ("GET", "/subjects/none/versions/1", None, 404, 40401),
        ("GET", "/subjects/orders/versions/9", None, 404, 40402),
        ("GET", "/subjects/orders/versions/0", None, 422, 42202),
        ("GET", "/subjects/orders/versions/newest", None, 422, 42202),
        ("GET", "/schemas/ids/999", None, 404, 40403),
        ("GET", "/schemas/ids/x", None, 404, 40403),
        ("GET", "/config/orders", None, 404, 40408),
        ("DELETE", "/config/orders", None, 404, 40408),
        ("PUT", "/config/orders", {"compatibility": "SIDEWAYS"}, 422, 42203),
        ("PUT", "/mode", {"mode": "READONLY"}, 422, 42205),
        ("POST", "/subjects/none", body(V1), 404, 40401),
        ("POST", "/subjects/orders", body(BREAKING), 404, 40403),
        ("POST", "/subjects/orders/versions", body(BREAKING), 409, 409),
        ("POST", "/subjects/orders/versions", body("{"), 422, 42201),
        ("POST", "/subjects/orders/versions", body({"type": "record", "name": "E"}), 422, 42201),
        ("POST", "/subjects/orders/versions", body({"type": "array", "items": "Nowhere"}), 422, 42201),
        ("POST", "/subjects/orders/versions", body("[" * 5000), 422, 42201),
        ("POST", "/subjects/orders/versions", body('{"type":"array","items":' * 400 + '"int"' + "}" * 400), 422, 42201),
        ("POST", "/subjects/orders/versions", body("{}", schemaType="JSON"), 422, 42201),
        ("POST", "/subjects/orders/versions", body("message M {}", schemaType="PROTOBUF"), 422, 42201),
        ("POST", "/subjects/orders/versions", body(V1, references=[{"name": "a", "subject": "b", "version": 1}]), 422, 42201),
        ("POST", "/subjects/orders/versions", {"text": "{}"}, 422, 422),
        ("DELETE", "/subjects/none", None, 404, 40401),
        ("DELETE", "/subjects/orders?permanent=true", None, 404, 40405),
        ("DELETE", "/subjects/orders/versions/1?permanent=true", None, 404, 40407),
        ("POST", "/compatibility/subjects/none/versions/1", body(V1), 404, 40401),
    ],
)  # fmt: skip
def test_a_refusal_has_the_number_that_clients_know(
    with_orders: EdgeClient, method: str, path: str, content: Any, status: int, code: int
) -> None:
    client = with_orders
    answer = client.request(method, path, json=content)
    assert (answer.status_code, answer.json().get("error_code")) == (status, code), answer.text
    assert answer.json()["message"]
    assert client.get("/subjects/orders/versions").json() == [1]


def test_a_schema_that_breaks_the_level_is_refused_until_the_level_allows_it(edge: Edge) -> None:
    client, _ = edge
    register(client, "orders", V1)
    assert client.get("/config").json() == {"compatibilityLevel": "BACKWARD"}
    verdict = client.post("/compatibility/subjects/orders/versions/latest?verbose=true", json=body(BREAKING)).json()
    assert verdict["is_compatible"] is False
    assert "reader_field_missing_default_value" in verdict["messages"][0]
    assert client.post("/compatibility/subjects/orders/versions", json=body(V2)).json() == {"is_compatible": True}
    assert client.post("/compatibility/subjects/none/versions/latest", json=body(V2)).json() == {"is_compatible": True}
    assert client.request("PUT", "/config/orders", json={"compatibility": "none"}).json() == {"compatibility": "NONE"}
    register(client, "orders", BREAKING)
    assert client.request("DELETE", "/config/orders").json() == {"compatibilityLevel": "NONE"}
    assert client.get("/config/orders?defaultToGlobal=true").json() == {"compatibilityLevel": "BACKWARD"}
    client.request("PUT", "/config", json={"compatibility": "FULL_TRANSITIVE"})
    assert client.get("/config/orders?defaultToGlobal=true").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}


def test_a_deleted_version_is_hidden_first_and_gone_for_good_only_then(edge: Edge) -> None:
    client, _ = edge
    first, second = register(client, "orders", V1, V2)
    assert client.request("DELETE", "/subjects/orders/versions/latest").json() == 2
    assert client.get("/subjects/orders/versions").json() == [1]
    assert client.get("/subjects/orders/versions?deleted=true").json() == [1, 2]
    assert client.request("DELETE", "/subjects/orders/versions/2").json()["error_code"] == 40406
    assert register(client, "orders", V2) == [second]
    assert client.get("/subjects/orders/versions").json() == [1, 3], "a number is not given twice"
    assert client.request("DELETE", "/subjects/orders/versions/2?permanent=true").json() == 2
    assert client.request("DELETE", "/subjects/orders").json() == [1, 3]
    assert "orders" not in client.get("/subjects").json()
    assert client.get("/subjects?deletedOnly=true").json() == ["orders"]
    assert client.request("DELETE", "/subjects/orders").json()["error_code"] == 40404
    assert client.request("DELETE", "/subjects/orders?permanent=true").json() == [1, 3]
    assert client.get("/subjects?deleted=true&subjectPrefix=or").json() == []
    assert client.get(f"/schemas/ids/{first}").status_code == 200, "records name their schema by its id for ever"


def test_where_keys_are_compulsory_reading_needs_any_and_changing_a_write_key() -> None:
    with running_edge(environment="production") as (client, _):
        post = {"json": body(V1)}
        assert client.get("/subjects").status_code == 401
        read, write = {"Authorization": f"Bearer {READ_KEY}"}, {"X-API-Key": WRITE_KEY}
        assert client.request("GET", "/subjects", headers=read).status_code == 200
        assert client.post("/subjects/orders/versions", headers=read, **post).json()["error_code"] == 40301
        assert client.post("/subjects/orders/versions", headers=write, **post).status_code == 200
        assert client.request("PUT", "/config", json={"compatibility": "NONE"}, headers=read).status_code == 403
        assert client.request("GET", "/subjects", auth=("anybody", WRITE_KEY)).status_code == 200
        assert client.request("GET", "/subjects", auth=("anybody", "wrong")).json()["error_code"] == 40101


def test_a_limited_request_has_the_registrys_shape_and_reading_with_a_read_key_is_limited_too() -> None:
    with running_edge(rate_limit_requests=3) as (client, _):
        answers = [client.get("/subjects", headers={"X-API-Key": READ_KEY}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200] * 3 + [429]
        assert answers[-1].headers["content-type"] == "application/vnd.schemaregistry.v1+json"
        assert answers[-1].json()["error_code"] == 429
        assert "Retry-After" in answers[-1].headers
        assert client.get("/subjects", auth=("anybody", WRITE_KEY)).status_code == 200, "another key, another bucket"


@pytest.mark.parametrize("query", ["deleted=1", "deleted=", "deletedOnly=on", "limit=many", "offset=0.5"])
def test_a_parameter_that_is_not_valid_is_refused_in_the_registrys_shape(edge: Edge, query: str) -> None:
    answer = edge[0].get(f"/subjects?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (422, 422)
    assert answer.json()["message"].startswith(query.partition("=")[0])


def test_a_large_body_is_refused(edge: Edge) -> None:
    assert edge[0].post("/subjects/orders/versions", content=b" " * 1_100_000).status_code == 413


def test_the_platforms_own_contract_is_there_from_the_start(edge: Edge) -> None:
    client, _ = edge
    path = "/subjects/content-downloads-value/versions"
    wait_until(lambda: client.get(path).status_code == 200, "the contract to be registered", 10)
    assert client.get(f"{path}/latest/schema").json() == avro.schema(CONTRACTS["download/1"])
    assert client.get(path).json() == [1]


def test_registering_the_own_contracts_again_changes_nothing() -> None:
    store = InMemoryRegistryStore()
    for _ in range(2):
        register_own(SchemaRegistry(store), DOWNLOADS_TOPIC)
    assert [(item.version, item.schema_id) for item in store.state.versions] == [(1, 1)]


def test_reading_goes_on_while_the_store_is_away_and_changing_is_refused() -> None:
    store = InMemoryRegistryStore()
    registry = SchemaRegistry(store, trusted_seconds=0)
    registry.register("orders", json.dumps(V1))
    store.available = False
    assert registry.look(lambda view: view.subjects()) == ["orders"]
    with pytest.raises(RegistryError) as refusal:
        registry.register("orders", json.dumps(V2))
    assert refusal.value.status == 503


def test_what_another_process_registered_is_found_at_once() -> None:
    store = InMemoryRegistryStore()
    one, other = SchemaRegistry(store, trusted_seconds=60), SchemaRegistry(store, trusted_seconds=60)
    assert one.look(lambda view: view.subjects()) == []
    schema_id = other.register("orders", json.dumps(V1)).schema_id
    assert one.look(lambda view: view.text(schema_id)) == one.find_text(schema_id)
    assert one.find_text(99) is None
