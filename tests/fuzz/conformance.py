"""What an API does against what its OpenAPI document says, for requests that schemathesis makes from the document.

All of its phases run over all operations: examples, coverage (every keyword of every schema, valid and invalid), fuzzing, and chains of
requests. Routes are found in the document, so a new one is tested without a word here.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis import Config, SerializationContext
from schemathesis.engine import events, from_schema
from schemathesis.schemas import BaseSchema

# A batch takes its good events and names the bad ones: one invalid item does not make it a refused request.
BATCHES = "(?i)batch|cloudevents"
# A schema registry takes a deleted subject again, and names what was deleted softly.
REBORN = "^/subjects"
# Valid by the document and still refused, rightly: a time before the first day, a user id of blanks, another app's event.
OFF = {"positive_data_acceptance": {"enabled": False}}


@schemathesis.serializer("application/x-ndjson")
def write_lines(_: SerializationContext, value: Any) -> bytes:
    """A text as it is, anything else as one line."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


@dataclass
class Findings:
    """What a run found. `problems` has one entry per operation, check and message."""

    problems: list[str] = field(default_factory=list)
    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)


def make_config(seed: int, max_examples: int, max_seconds: int | None = None) -> Config:
    """The same seed makes the same requests. Time is a budget: fuzzing and chains go on until it is spent."""
    budget = {} if max_seconds is None else {"max-time": max_seconds}
    return Config.from_dict(
        {
            "seed": seed,
            **budget,
            "continue-on-failure": True,
            "generation": {"max-examples": max_examples},
            "checks": OFF,
            "phases": {"stateful": {"max-steps": 4}},
            "operations": [
                {"include-path-regex": BATCHES, "checks": {"negative_data_rejection": {"enabled": False}}},
                {"include-path-regex": REBORN, "checks": {"use_after_free": {"enabled": False}}},
            ],
        }
    )


def examine(schema: BaseSchema) -> Findings:
    """Runs all phases."""
    findings, seen = Findings(), set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _note(event, findings)
            for key, problem in _failures(event):
                if key not in seen:
                    seen.add(key)
                    findings.problems.append(problem)
        elif isinstance(event, events.NonFatalError):
            findings.problems.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            findings.problems.append(repr(event.exception))
    return findings


def _note(event: events.ScenarioFinished, findings: Findings) -> None:
    findings.cases[event.phase.name] += len(event.recorder.cases)
    for node in event.recorder.cases.values():
        findings.operations.add(node.value.operation.label)
    for interaction in event.recorder.interactions.values():
        if interaction.response is not None:
            findings.statuses[interaction.response.status_code] += 1


def _failures(event: events.ScenarioFinished) -> Iterator[tuple[tuple[str, str, str], str]]:
    for nodes in event.recorder.checks.values():
        for node in nodes:
            if node.failure_info is not None:
                failure = node.failure_info.failure
                key = (node.name, failure.operation, failure.message[:80])
                yield (
                    key,
                    f"{failure.operation}: {node.name}: {failure.message}\n  {node.failure_info.code_sample[:2000]}",
                )
