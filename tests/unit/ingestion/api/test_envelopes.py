"""The envelope table, rule by rule, from both sides through HTTP: accepted, or refused, kept as a dead letter and counted."""

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from ingestion.contracts.experiments import Experiment
from ingestion.contracts.families import OWN_FAMILIES
from ingestion.contracts.formats import json_schema
from ingestion.contracts.registry import NEWEST
from ingestion.sinks import InMemorySink
from tests.fixtures.bodies import engagement
from tests.fixtures.envelopes import ADDRESSES, RULES, Rule, engagement_rules
from tests.unit.ingestion.builders import NOW, EdgeClient

Edge = tuple[EdgeClient, InMemorySink]


def refused_counts(client: EdgeClient) -> dict[str, float]:
    """Reason → events refused so far."""
    pattern = re.compile(r'^tidemark_ingestion_events_refused_total\{reason="(.+)"\} (.+)$', re.MULTILINE)
    return {reason: float(value) for reason, value in pattern.findall(client.get("/metrics").text)}


@pytest.fixture(scope="module")
def shared_edge() -> Iterator[Edge]:
    """One API for the whole table."""
    sink = InMemorySink()
    edge = EdgeClient(sink)
    # Which variants there are is the registry's word: here the shortest and the longest that the contract takes.
    edge.experiments.put("public", Experiment("checkout", ("A", "ü", "ü" * 100), (0.5, 0.25, 0.25)), NOW)
    with edge as client:
        yield client, sink


@pytest.mark.feature("S0-3")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.contract} {rule.name}")
def test_a_rule_lets_good_events_in_and_refuses_keeps_and_counts_bad_ones(shared_edge: Edge, rule: Rule) -> None:
    client, sink = shared_edge
    address, status = ADDRESSES[rule.contract]
    assert rule.good
    assert rule.bad
    for body in rule.good:
        answer = client.post(address, content=body)
        assert answer.status_code == status, (body, answer.text)
        record = sink.records.pop()
        assert (record.topic, record.value) == ("events.raw.v1", body)
        assert dict(record.headers)["ce_dataschema"] == rule.contract.encode()
    before = refused_counts(client)
    for body, reason in rule.bad:
        answer = client.post(address, content=body)
        assert (answer.status_code, answer.json().get("code")) == (422, reason), (body, answer.text)
        record = sink.records.pop()
        assert (record.topic, record.value) == ("events.dlq.v1", body)
        assert dict(record.headers)["ce_dlqreason"] == reason.encode()
    expected = Counter(before)
    expected.update(reason for _, reason in rule.bad)
    assert refused_counts(client) == expected


def test_no_field_of_a_contract_is_without_a_rule() -> None:
    for contract in (NEWEST[family] for family in OWN_FAMILIES):
        said = " ".join(rule.name for rule in RULES if rule.contract == contract.name)
        for shape in json_schema.document(contract)["$defs"].values():
            for name in shape["properties"]:
                assert name in said, (contract.name, name)


def test_the_table_breaks_one_rule_at_a_time() -> None:
    good = json.loads(engagement())
    for rule in engagement_rules():
        for body, _ in rule.bad:
            changed = json.loads(body)
            assert sum(changed.get(name, ...) != good.get(name, ...) for name in good.keys() | changed.keys()) == 1
