"""The contract as OpenAPI tells it. Nothing is opened: an app that has not started needs neither database nor lake."""

from typing import Any

import pytest

from serving.app import create_app
from serving.settings import ServingSettings
from storage.settings import StorageSettings

ANALYTICS = [
    f"/api/v1/analytics/{name}" for name in ("event-distribution", "events", "platforms", "top-users", "users")
]
DIFF = "/api/v1/publications/{a}/diff/{b}"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    return create_app(ServingSettings(), StorageSettings()).openapi()


def test_the_paths_are_those_of_the_contract(document: dict[str, Any]) -> None:
    assert sorted(document["paths"]) == sorted(
        [*ANALYTICS, DIFF, "/api/v1/publications", "/", "/ping", "/version", "/health", "/metrics"]
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *((path, {"hours_back", "until", "app_id", "publication"}) for path in ANALYTICS),
        (DIFF, {"a", "b", "app_id", "table", "period", "from", "to", "limit"}),
    ],
)
def test_every_endpoint_of_a_publication_documents_parameters_answers_and_errors(
    document: dict[str, Any], path: str, expected: set[str]
) -> None:
    operation = document["paths"][path]["get"]
    assert expected <= {parameter["name"] for parameter in operation["parameters"]}
    assert all(parameter["description"] for parameter in operation["parameters"])
    assert set(operation["responses"]) == {"200", "304", "401", "403", "404", "410", "422", "503"}
    for status in ("401", "403", "404", "410", "422", "503"):
        assert list(operation["responses"][status]["content"]) == ["application/problem+json"]
    assert operation["security"]


def test_every_field_of_an_answer_has_an_example_or_speaks_for_itself(document: dict[str, Any]) -> None:
    answers = [name for name in document["components"]["schemas"] if name.endswith("Answer")]
    assert len(answers) == 7
    for name in answers:
        properties = document["components"]["schemas"][name]["properties"]
        silent = [key for key, value in properties.items() if "examples" not in value and "items" not in value]
        assert silent in ([], ["source"]), f"{name} has fields without an example: {silent}"
