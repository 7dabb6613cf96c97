"""Simulated experiments: chosen rates and faults, and a ground truth that an independent reading of the definition confirms."""

import json
from collections import defaultdict
from typing import Any

import pytest

from ingestion.generators import StreamPlan
from ingestion.generators.experiments import ProductStory, SimulatedExperiment
from ingestion.generators.product import ProductPlan, ProductStream, whole_plan
from tests.unit.ingestion.generators.families import ANCHOR

SEVEN_DAYS = 7 * 86_400_000
THREE = SimulatedExperiment("three", ("control", "x", "y"), (0.2, 0.3, 0.4), (0.5, 0.25, 0.25), ratio_fault=0.1)


def read(product: ProductPlan, seed: int = 5, **shares: float) -> tuple[list[dict[str, Any]], ProductStory]:
    stream = ProductStream(whole_plan(StreamPlan(0, ANCHOR, seed, **shares), product), product)
    lines = list(stream)
    assert len(lines) == stream.line_count
    unique = {line.event_id: json.loads(line.raw) for line in lines if line.kind != "malformed"}
    story = stream.truth().story
    assert isinstance(story, ProductStory)
    return list(unique.values()), story


def by_definition(events: list[dict[str, Any]], experiment_id: str) -> tuple[dict[str, list[int]], int]:
    """(variant → [exposed, converted], excluded) as FEATURES defines them, in the plainest way."""
    users = defaultdict(list)
    for event in events:
        users[event["user_id"]].append((event.get("event_ts", event.get("event_time")), event))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    excluded = 0
    for happened in users.values():
        exposures = [
            (at, event["variant"])
            for at, event in happened
            if event["event_type"] == "feature_exposed" and event["experiment_id"] == experiment_id
        ]
        if len({variant for _, variant in exposures}) > 1:
            excluded += 1
        elif exposures:
            first, variant = min(exposures)
            counts[variant][0] += 1
            counts[variant][1] += any(
                event["event_type"] == "conversion" and first <= at < first + SEVEN_DAYS for at, event in happened
            )
    return dict(counts), excluded


@pytest.mark.feature("S1-16")
@pytest.mark.parametrize(
    "product",
    [
        ProductPlan(users=800, two_variants_ratio=0.05),
        ProductPlan((THREE, SimulatedExperiment()), users=800),
        ProductPlan((THREE,), users=800, history_days=30, two_variants_ratio=0.1),
    ],
    ids=["live", "two experiments", "history"],
)
def test_the_truth_equals_the_definition_applied_to_the_stream(product: ProductPlan) -> None:
    events, story = read(product, duplicates_ratio=0.1, malformed_ratio=0.05)
    for truth in story.experiments:
        counts, excluded = by_definition(events, truth.experiment_id)
        assert {each.variant: [each.exposed_users, each.converted_users] for each in truth.variants} == counts
        assert truth.excluded_users == excluded > 0
    exposed = {event["user_id"] for event in events if event["event_type"] == "feature_exposed"}
    assert story.unexposed_users == 800 - len(exposed) > 0


@pytest.mark.feature("S1-16")
def test_rates_and_shares_are_the_chosen_ones() -> None:
    """5,000 users, 4,500 exposed: rates within four standard errors of the smallest arm (0.06), shares within 0.03."""
    _, story = read(ProductPlan((THREE,), users=5_000, two_variants_ratio=0))
    (truth,) = story.experiments
    total = sum(each.exposed_users for each in truth.variants)
    for each, rate, share in zip(truth.variants, THREE.rates, (0.4, 0.25, 0.35), strict=True):
        assert each.converted_users / each.exposed_users == pytest.approx(rate, abs=0.06)
        assert each.exposed_users / total == pytest.approx(share, abs=0.03)
    assert truth.excluded_users == 0
    assert [each.share for each in truth.variants] == [0.5, 0.25, 0.25]


def test_a_history_holds_conversions_that_do_not_count() -> None:
    events, _ = read(ProductPlan(users=800, history_days=20))
    exposures: dict[str, int] = {}
    for event in sorted(events, key=lambda each: each.get("event_ts") or each["event_time"]):
        if event["event_type"] == "feature_exposed":
            exposures.setdefault(event["user_id"], event.get("event_ts") or event["event_time"])
    offsets = [
        (event.get("event_ts") or event["event_time"]) - exposures[event["user_id"]]
        for event in events
        if event["event_type"] == "conversion" and event["user_id"] in exposures
    ]
    assert any(offset < 0 for offset in offsets)
    assert any(offset == SEVEN_DAYS for offset in offsets)
    assert any(0 < offset < SEVEN_DAYS for offset in offsets)
    latest = max(event.get("event_ts") or event["event_time"] for event in events)
    assert latest <= ANCHOR.timestamp() * 1000


def test_copies_malformed_and_late_lines_do_not_change_the_story() -> None:
    product = ProductPlan(users=200)
    plain = read(product)[1]
    assert read(product, duplicates_ratio=0.2, malformed_ratio=0.2)[1] == plain
    assert read(product, late_ratio=0.3)[1] == plain


@pytest.mark.parametrize(
    "wrong",
    [
        {"variants": ("A",), "rates": (0.1,)},
        {"variants": ("A", "A")},
        {"rates": (0.1,)},
        {"rates": (0.1, 1.1)},
        {"shares": (0.5, 0.4)},
        {"ratio_fault": 0.6},
        {"ratio_fault": -0.1},
    ],
    ids=str,
)
def test_experiments_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SimulatedExperiment(**wrong)


@pytest.mark.parametrize("wrong", [{"history_days": 8}, {"experiments": ()}, {"exposed_ratio": 2}], ids=str)
def test_plans_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ProductPlan(**wrong)
    with pytest.raises(ValueError, match="history"):
        ProductStream(StreamPlan(1, ANCHOR, late_ratio=0.1), ProductPlan(history_days=9))
