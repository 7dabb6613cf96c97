"""When an alert is raised and resolved: the definition's cases, and a day of the generator's traffic in minutes drawn directly.

A minute of 30,000 downloads is drawn as the generator makes it: a place each at random, 92 % successes of which 2 in 92 are slow, speeds
uniform per kind of connection. A sum of many speeds is drawn as a normal number of the same mean and variance; the parameters are the
generator's own, and a test compares a generated stream with them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, pvariance

import numpy as np
import pytest

from ingestion.generators import downloads
from ingestion.generators.incidents import Incident
from ingestion.generators.stream import StreamPlan
from storage.live.anomalies import AnomalyJudge, AnomalyType, Opening, RegionMinute, Resolution

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DOWNLOADS_PER_MINUTE = 30_000
SHARES = [sum(region == place[0] for place in downloads.PLACES) / len(downloads.PLACES) for region in downloads.REGIONS]
WEIGHTS = downloads.STATUS_WEIGHTS
SUCCESS_RATIO = (WEIGHTS["success"] + WEIGHTS["slow"]) / sum(WEIGHTS.values())


def speed_moments() -> tuple[float, float]:
    """Mean and variance of a success's speed by the generator's constants."""
    first = second = 0.0
    for low, high in downloads.CONNECTIONS.values():
        first += (low + high) / 2 / len(downloads.CONNECTIONS)
        second += (low**2 + low * high + high**2) / 3 / len(downloads.CONNECTIONS)
    low, high = downloads._SLOW_FACTORS
    slow = WEIGHTS["slow"] / (WEIGHTS["slow"] + WEIGHTS["success"])
    first_factor = (1 - slow) + slow * (low + high) / 2
    second_factor = (1 - slow) + slow * (low**2 + low * high + high**2) / 3
    return first * first_factor, second * second_factor - (first * first_factor) ** 2


def draw_minute(
    random: np.random.Generator, at: int, incidents: Sequence[Incident] = (), per_minute: int = DOWNLOADS_PER_MINUTE
) -> list[RegionMinute]:
    mean, variance = speed_moments()
    minutes = []
    for region, count in zip(downloads.REGIONS, random.multinomial(per_minute, SHARES), strict=True):
        success, factor = SUCCESS_RATIO, 1.0
        for incident in incidents:
            if incident.covers(at * 60.0, region):
                if incident.type == "slow_cdn":
                    factor *= incident.factor
                else:
                    success *= incident.factor
        successes = int(random.binomial(count, success))
        speed = factor * random.normal(mean * successes, (variance * successes) ** 0.5)
        minutes.append(RegionMinute(region, int(count), successes, max(0.0, float(speed))))
    return minutes


def run(
    seed: int, minutes: int, incidents: Sequence[Incident] = (), per_minute: int = DOWNLOADS_PER_MINUTE
) -> list[Opening | Resolution]:
    judge, random = AnomalyJudge(), np.random.default_rng(seed)
    return [
        change
        for at in range(minutes)
        for change in judge.judge(START + at * MINUTE, draw_minute(random, at, incidents, per_minute))
    ]


def test_minutes_are_drawn_as_the_generator_makes_downloads() -> None:
    stream = downloads.DownloadSource(StreamPlan(4000, START, 7, 500.0))
    drafts = [stream.draft(index, False).fields for index in range(4000)]
    speeds = [draft["download"]["speed_mbps"] for draft in drafts if draft["download"]["status"] == "success"]
    mean, variance = speed_moments()
    assert len(speeds) / 4000 == pytest.approx(SUCCESS_RATIO, abs=0.02)
    assert fmean(speeds) == pytest.approx(mean, rel=0.03)
    assert pvariance(speeds) == pytest.approx(variance, rel=0.06)


@pytest.mark.feature("S4-7")
def test_a_healthy_day_of_the_generator_raises_at_most_one_alert() -> None:
    assert len([change for change in run(seed=1, minutes=1440) if isinstance(change, Opening)]) <= 1


@pytest.mark.slow
@pytest.mark.feature("S4-7")
@pytest.mark.parametrize("per_minute", [70, 3_000, 30_000])
def test_healthy_weeks_raise_few_alerts(per_minute: int) -> None:
    opened = [
        change
        for seed in range(7)
        for change in run(seed + 100, 1440, per_minute=per_minute)
        if isinstance(change, Opening)
    ]
    assert len(opened) <= 7


@pytest.mark.feature("S4-7")
@pytest.mark.parametrize("seed", range(3))
def test_an_outage_and_a_slow_network_raise_one_alert_each_when_the_third_minute_ends(seed: int) -> None:
    incidents = (
        Incident("region_outage", "sa-east", 100 * 60, 130 * 60, 0.5),
        Incident("slow_cdn", "ap-south", 150 * 60, 170 * 60),
    )
    changes = run(seed, 200, incidents)
    assert [(type(change), change.type, change.region) for change in changes] == [
        (Opening, AnomalyType.LOW_SUCCESS_RATE, "sa-east"),
        (Resolution, AnomalyType.LOW_SUCCESS_RATE, "sa-east"),
        (Opening, AnomalyType.LOW_SPEED, "ap-south"),
        (Resolution, AnomalyType.LOW_SPEED, "ap-south"),
    ]
    outage, over, slow, fast = changes
    assert isinstance(outage, Opening)
    assert outage.first_minute == START + 100 * MINUTE
    assert outage.opened_at == START + 103 * MINUTE
    assert outage.severity == "CRITICAL"
    assert outage.value == pytest.approx(SUCCESS_RATIO / 2, abs=0.03)
    assert outage.baseline == pytest.approx(SUCCESS_RATIO, abs=0.01)
    assert isinstance(over, Resolution)
    assert over.resolved_at == START + 133 * MINUTE
    assert isinstance(slow, Opening)
    assert (slow.opened_at, slow.severity) == (START + 153 * MINUTE, "WARNING")
    assert isinstance(fast, Resolution)
    assert fast.resolved_at == START + 173 * MINUTE


def feed(judge: AnomalyJudge, first: int, *minutes: Sequence[RegionMinute]) -> list[Opening | Resolution]:
    return [change for at, regions in enumerate(minutes, first) for change in judge.judge(START + at * MINUTE, regions)]


HEALTHY = [RegionMinute("eu", 100, 95, 95 * 50.0), RegionMinute("us", 100, 95, 95 * 50.0)]
EU_DOWN = [RegionMinute("eu", 100, 60, 60 * 50.0), HEALTHY[1]]


def test_two_bad_minutes_are_no_alert_and_a_gap_ends_the_row() -> None:
    judge = AnomalyJudge()
    feed(judge, 0, *[HEALTHY] * 10)
    assert feed(judge, 10, EU_DOWN, EU_DOWN, HEALTHY, EU_DOWN, EU_DOWN) == []
    assert feed(judge, 15, [RegionMinute("eu", 4, 0, 0.0)], EU_DOWN, EU_DOWN) == []


def test_an_alert_stays_one_while_it_is_open_and_its_minutes_are_in_no_baseline() -> None:
    judge = AnomalyJudge()
    feed(judge, 0, *[HEALTHY] * 60)
    changes = feed(judge, 60, *[EU_DOWN] * 90)
    assert [type(change) for change in changes] == [Opening]
    assert feed(judge, 150, HEALTHY, HEALTHY, EU_DOWN, HEALTHY, HEALTHY) == []
    assert [type(change) for change in feed(judge, 155, HEALTHY)] == [Resolution]


@pytest.mark.parametrize("others", [[], [HEALTHY[1]]], ids=["the only region", "beside another"])
def test_an_outage_of_hours_is_one_alert_that_ends_when_the_usual_rate_is_back(others: list[RegionMinute]) -> None:
    # Regression: after an hour without any baseline nothing could be judged, and the alert of an only region stayed open for ever.
    usual, slow = [RegionMinute("eu", 100, 95, 95 * 20.0), *others], [RegionMinute("eu", 100, 95, 95 * 5.0), *others]
    judge = AnomalyJudge()
    feed(judge, 0, *[usual] * 60)
    [opening] = feed(judge, 60, *[slow] * 300)
    assert isinstance(opening, Opening)
    assert (opening.type, opening.baseline) == (AnomalyType.LOW_SPEED, pytest.approx(20.0))
    [over] = feed(judge, 360, *[usual] * 3)
    assert isinstance(over, Resolution)
    # A region that is always slower than half of all others is still held to itself: it is not bad again at once.
    assert feed(judge, 363, *[usual] * 60) == []
    assert [type(change) for change in feed(judge, 423, *[slow] * 3)] == [Opening]


@pytest.mark.parametrize(("successes", "severity"), [(84, "CRITICAL"), (86, "WARNING")])
def test_severity_is_by_the_pooled_rate(successes: int, severity: str) -> None:
    judge = AnomalyJudge()
    feed(judge, 0, *[[RegionMinute("eu", 1000, 950, 950.0)]] * 5)
    bad = [RegionMinute("eu", 1000, successes * 10, successes * 10.0)]
    [opening] = feed(judge, 5, bad, bad, bad)
    assert isinstance(opening, Opening)
    assert opening.severity == severity


def test_a_region_without_500_downloads_is_compared_with_the_platform_and_nothing_without_any_baseline() -> None:
    judge = AnomalyJudge()
    small = RegionMinute("small", 10, 1, 50.0)
    assert feed(judge, 0, *[[small]] * 5) == []
    judge = AnomalyJudge()
    feed(judge, 0, *[HEALTHY] * 10)
    [opening] = feed(judge, 10, *[[*HEALTHY, small]] * 3)
    assert (opening.region, opening.type) == ("small", AnomalyType.LOW_SUCCESS_RATE)
