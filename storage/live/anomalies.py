"""Decides which regions have an anomaly, minute by minute. Pure: minutes in, openings and resolutions out.

Definition (docs/live-windows.md): LOW_SUCCESS_RATE when a region's success rate lies below its baseline by a one-sided binomial test at
0.001 in three consecutive minutes of at least five downloads each; LOW_SPEED when the mean speed of successes lies below half its baseline.
The baseline is the region's own over the last 60 minutes outside of its alerts, with at least 500 downloads; until then the platform's.
An alert keeps the baseline that it was opened by: a long outage becomes nobody's usual rate, and ends when what was usual is back. What
was usual before it still is then: those 60 minutes do not pass while an alert is open.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from scipy.special import bdtr

MINUTE = timedelta(minutes=1)
BASELINE_MINUTES = 60
BASELINE_DOWNLOADS = 500
MINUTE_DOWNLOADS = 5
SIGNIFICANCE = 0.001
STREAK = 3
LOW_SPEED_RATIO = 0.5
CRITICAL_BELOW = 0.85


class AnomalyType(StrEnum):
    """What is low."""

    LOW_SUCCESS_RATE = "LOW_SUCCESS_RATE"
    LOW_SPEED = "LOW_SPEED"


@dataclass(frozen=True)
class RegionMinute:
    """Downloads of one region in one minute. `speed_sum` is over successes, in Mbit/s."""

    region: str
    download_count: int
    success_count: int
    speed_sum: float


@dataclass(frozen=True)
class Opening:
    """An alert begins: three bad minutes, from `first_minute` to before `opened_at`."""

    type: AnomalyType
    region: str
    severity: str
    value: float
    baseline: float
    first_minute: datetime
    opened_at: datetime


@dataclass(frozen=True)
class OpenAlert:
    """An alert that is open, and what its minutes are held to."""

    type: AnomalyType
    region: str
    baseline: float


@dataclass(frozen=True)
class Resolution:
    """An alert ends: three healthy minutes before `resolved_at`."""

    type: AnomalyType
    region: str
    resolved_at: datetime


@dataclass
class _Sums:
    downloads: int = 0
    successes: int = 0
    speed: float = 0.0

    def add(self, minute: RegionMinute) -> None:
        self.downloads += minute.download_count
        self.successes += minute.success_count
        self.speed += minute.speed_sum

    def value(self, type_: AnomalyType) -> float:
        if type_ is AnomalyType.LOW_SPEED:
            return self.speed / self.successes if self.successes else 0.0
        return self.successes / self.downloads


@dataclass(frozen=True)
class _Entry:
    """A minute of a watch; `number` counts the watch's minutes outside of alerts."""

    number: int
    minute: datetime
    item: RegionMinute


@dataclass
class _Watch:
    """One (type, region): its last hour outside of alerts, its streaks, and the baseline of an open alert."""

    minute_count: int = 0
    recent: deque[_Entry] = field(default_factory=deque)
    bad: list[_Entry] = field(default_factory=list)
    healthy_count: int = 0
    alert_baseline: float | None = None


class AnomalyJudge:
    """Takes the minutes of one app in order, each once."""

    def __init__(self) -> None:
        self._watches: dict[tuple[AnomalyType, str], _Watch] = {}

    def set_open(self, alerts: Iterable[OpenAlert]) -> None:
        """Which alerts are open, whatever was judged before: what the tables say wins."""
        baselines = {(alert.type, alert.region): alert.baseline for alert in alerts}
        for key in baselines:
            self._watches.setdefault(key, _Watch())
        for key, watch in self._watches.items():
            watch.alert_baseline = baselines.get(key)
            if watch.alert_baseline is None:
                watch.healthy_count = 0

    def judge(self, minute: datetime, regions: Sequence[RegionMinute]) -> list[Opening | Resolution]:
        """What changes with this minute. A region that is not named had no download."""
        found: list[Opening | Resolution] = []
        by_region = {item.region: item for item in regions}
        for type_ in AnomalyType:
            platform = self._platform(type_)
            for region in by_region.keys() | {region for kind, region in self._watches if kind is type_}:
                watch = self._watches.setdefault((type_, region), _Watch())
                item = by_region.get(region, RegionMinute(region, 0, 0, 0.0))
                found += self._judge_region(type_, watch, minute, item, platform)
        # A region is a client's text: one that is not heard of any more is forgotten.
        self._watches = {
            key: watch
            for key, watch in self._watches.items()
            if watch.recent or watch.bad or watch.alert_baseline is not None
        }
        return sorted(found, key=lambda item: (item.type, item.region))

    def _judge_region(
        self, type_: AnomalyType, watch: _Watch, minute: datetime, item: RegionMinute, platform: float | None
    ) -> list[Opening | Resolution]:
        if watch.alert_baseline is not None:
            return _judge_alert(type_, watch, minute, item, watch.alert_baseline)
        watch.minute_count += 1
        entry = _Entry(watch.minute_count, minute, item)
        own = _sum(watch.recent)
        baseline = own.value(type_) if own.downloads >= BASELINE_DOWNLOADS else platform
        verdict = _is_bad(type_, item, baseline)
        if verdict is not True and item.download_count:
            watch.recent.append(entry)
        if not verdict:
            _restore(watch)
            return []
        watch.bad.append(entry)
        if len(watch.bad) < STREAK:
            return []
        assert baseline is not None
        return [_open(type_, watch, minute, item.region, baseline)]

    def _platform(self, type_: AnomalyType) -> float | None:
        """The baseline of all regions together; drops what is more than an hour outside of alerts ago on the way."""
        sums = _Sums()
        for (kind, _), watch in self._watches.items():
            if kind is type_:
                while watch.recent and watch.recent[0].number <= watch.minute_count - BASELINE_MINUTES:
                    watch.recent.popleft()
                for entry in watch.recent:
                    sums.add(entry.item)
        return sums.value(type_) if sums.downloads >= BASELINE_DOWNLOADS else None


def _sum(entries: Iterable[_Entry]) -> _Sums:
    sums = _Sums()
    for entry in entries:
        sums.add(entry.item)
    return sums


def _is_bad(type_: AnomalyType, item: RegionMinute, baseline: float | None) -> bool | None:
    """None: too few downloads, or nothing to compare with."""
    if baseline is None or item.download_count < MINUTE_DOWNLOADS:
        return None
    if type_ is AnomalyType.LOW_SUCCESS_RATE:
        return bool(bdtr(item.success_count, item.download_count, baseline) < SIGNIFICANCE)
    if item.success_count < MINUTE_DOWNLOADS:
        return None
    return item.speed_sum / item.success_count < LOW_SPEED_RATIO * baseline


def _judge_alert(
    type_: AnomalyType, watch: _Watch, minute: datetime, item: RegionMinute, baseline: float
) -> list[Opening | Resolution]:
    """Three healthy minutes end it; a minute that says nothing is neither."""
    verdict = _is_bad(type_, item, baseline)
    if verdict is None:
        return []
    watch.healthy_count = 0 if verdict else watch.healthy_count + 1
    if watch.healthy_count < STREAK:
        return []
    watch.alert_baseline, watch.healthy_count = None, 0
    return [Resolution(type_, item.region, minute + MINUTE)]


def _restore(watch: _Watch) -> None:
    """The streak ended before it was an alert: its minutes belong to the baseline after all."""
    watch.recent.extend(watch.bad)
    watch.recent = deque(sorted(watch.recent, key=lambda entry: entry.number))
    watch.bad.clear()


def _open(type_: AnomalyType, watch: _Watch, minute: datetime, region: str, baseline: float) -> Opening:
    pooled = _sum(watch.bad)
    first = watch.bad[0].minute
    watch.bad.clear()
    watch.alert_baseline, watch.healthy_count = baseline, 0
    severity = "CRITICAL" if pooled.value(AnomalyType.LOW_SUCCESS_RATE) < CRITICAL_BELOW else "WARNING"
    return Opening(type_, region, severity, pooled.value(type_), baseline, first, minute + MINUTE)
