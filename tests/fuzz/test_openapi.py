"""The ingestion API does what its OpenAPI document says, whatever is sent. `make fuzz` does the same for longer on a real process."""

import pytest
from schemathesis import openapi

from ingestion.sinks import InMemorySink
from tests.fuzz.conformance import examine, make_config
from tests.unit.ingestion.builders import EdgeClient


@pytest.mark.filterwarnings("ignore")  # schemathesis warns of what it cannot generate; what counts is in its findings
def test_the_api_keeps_to_its_document() -> None:
    sink = InMemorySink()
    app = EdgeClient(sink).app  # schemathesis starts it itself
    schema = openapi.from_asgi("/openapi.json", app, config=make_config(1, max_examples=3))
    findings = examine(schema)
    documented = {f"{method.upper()} {path}" for path, item in app.openapi()["paths"].items() for method in item}
    assert not findings.problems, "\n".join(findings.problems)
    assert findings.operations == documented
    assert {"COVERAGE", "FUZZING", "STATEFUL_TESTING"} <= {phase for phase, count in findings.cases.items() if count}
    assert {200, 201, 202, 422} <= set(findings.statuses)
    assert sink.records
