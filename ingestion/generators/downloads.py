"""The seeded download stream (S4): four titles, ten places, six devices, 90 % success, 8 % failed, 2 % slow, and scripted incidents.

A slow download is a success at a tenth to a quarter of its connection's speed: the contract has no status for it. The fields are
plain dicts; `DownloadStream(plan, incidents, encode=…)` writes the same events, copies and truth in another encoding.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestion.contracts.families import Family
from ingestion.generators.incidents import ALL_REGIONS, Incident, IncidentCounts, IncidentLabel
from ingestion.generators.malformed import DOWNLOAD_KINDS, Fields
from ingestion.generators.stream import (
    Draft,
    Encode,
    SeededStream,
    StreamPlan,
    Timeline,
    canonical_json,
    make_event_id,
    seeded,
    to_milliseconds,
)
from ingestion.generators.truth import Story

EVENT_TYPE = "download"
USER_COUNT = 10_000
# (weight, content_id, title, type, category, size in MiB, price)
TITLES = (
    (50, "movie_001", "The Tidal Clock", "movie", "drama", 4_200.0, 12.99),
    (30, "series_014", "Harbour Lights, Season 1", "series", "crime", 2_600.0, 9.99),
    (15, "game_207", "Driftwood Racer", "game", "racing", 1_350.0, 24.5),
    (5, "album_033", "Songs for an Empty Pier", "album", "folk", 180.0, 7.0),
)
PLACES = (
    ("eu-west", "London"),
    ("eu-west", "Dublin"),
    ("eu-central", "Frankfurt"),
    ("us-east", "New York"),
    ("us-west", "San Francisco"),
    ("sa-east", "São Paulo"),
    ("ap-south", "Mumbai"),
    ("ap-northeast", "Tōkyō"),
    ("ap-southeast", "Sydney"),
    ("af-south", "Lagos"),
)
REGIONS = tuple(dict.fromkeys(region for region, _ in PLACES))
DEVICES = (
    ("iPhone", "iOS 19.2"),
    ("iPad", "iPadOS 19.1"),
    ("Android phone", "Android 16"),
    ("Windows PC", "Windows 11"),
    ("MacBook", "macOS 26.1"),
    ("Smart TV", "Tizen 9"),
)
# connection type → lowest and highest speed in Mbit/s
CONNECTIONS = {"fiber": (120, 400), "cable": (40, 160), "wifi": (25, 120), "5g": (60, 300), "4g": (8, 60)}
STATUS_WEIGHTS = {"success": 90, "failed": 8, "slow": 2}
ERRORS = {
    "NETWORK_TIMEOUT": "the connection timed out",
    "CDN_UNAVAILABLE": "no edge server answered",
    "DISK_FULL": "the device has no space left",
    "LICENSE_DENIED": "the licence server refused",
}
OUTAGE_ERROR = "CDN_UNAVAILABLE"
_SLOW_FACTORS = (0.1, 0.25)
_BITS_PER_MEGABYTE = 1024 * 1024 * 8 / 1_000_000  # Mbit in a MiB


@dataclass(frozen=True)
class DownloadStory(Story):
    """Unique downloads by status and region, and a label for every incident. `slow` ones are part of the successes."""

    by_status: dict[str, int]
    by_region: dict[str, int]
    success_by_region: dict[str, int]
    by_content: dict[str, int]
    incidents: tuple[IncidentLabel, ...]


class DownloadSource:
    """Downloads, each independent of the others."""

    family = Family.DOWNLOAD
    spoilers = DOWNLOAD_KINDS

    def __init__(self, plan: StreamPlan, incidents: Sequence[Incident] = ()) -> None:
        unknown = {incident.region for incident in incidents} - {*REGIONS, ALL_REGIONS}
        if unknown:
            raise ValueError(f"no region {sorted(unknown)}; there are {', '.join(REGIONS)}")
        self._plan = plan
        self._random = seeded(plan, "download")
        self._timeline = Timeline(plan, self._random)
        self._incidents = tuple(incidents)
        self._counts = [IncidentCounts(incident) for incident in incidents]
        self._by_status: Counter[str] = Counter()
        self._by_region: Counter[str] = Counter()
        self._success_by_region: Counter[str] = Counter()
        self._by_content: Counter[str] = Counter()

    def draft(self, index: int, makes_late: bool) -> Draft:
        """See Source."""
        random_ = self._random
        occurred_at, is_late = self._timeline.occurred_at(index, makes_late)
        _, content_id, title, type_, category, size_mb, price = random_.choices(TITLES, [row[0] for row in TITLES])[0]
        region, city = random_.choice(PLACES)
        device, os_version = random_.choice(DEVICES)
        connection = random_.choice(list(CONNECTIONS))
        user_id = f"user_{random_.randrange(USER_COUNT):05d}"
        happening = [found for found in self._incidents if found.covers(self._seconds(occurred_at), region)]
        fields: Fields = {
            "event_id": make_event_id(self._plan, f"download:{index}"),
            "timestamp": to_milliseconds(occurred_at),
            "user_id": user_id,
            "content": {
                "content_id": content_id,
                "title": title,
                "type": type_,
                "category": category,
                "size_mb": size_mb,
                "price": price,
            },
            "download": _outcome(random_, size_mb, CONNECTIONS[connection], happening),
            "user_context": {
                "region": region,
                "city": city,
                "device": device,
                "os_version": os_version,
                "connection_type": connection,
            },
        }
        return Draft(fields, EVENT_TYPE, user_id, occurred_at, is_late)

    def spare(self, index: int) -> Fields:
        """See Source."""
        return self.draft(index, False).fields

    def note(self, draft: Draft) -> None:
        """See Source."""
        region, status = draft.fields["user_context"]["region"], draft.fields["download"]["status"]
        is_success = status == "success"
        self._by_status[status] += 1
        self._by_region[region] += 1
        self._success_by_region[region] += is_success
        self._by_content[draft.fields["content"]["content_id"]] += 1
        for counts in self._counts:
            counts.note(self._seconds(draft.occurred_at), region, is_success)

    def story(self) -> DownloadStory:
        """See Source."""
        by_status, by_region, success, by_content = (
            dict(sorted(counts.items()))
            for counts in (self._by_status, self._by_region, self._success_by_region, self._by_content)
        )
        labels = tuple(counts.label(self._plan.anchor) for counts in self._counts)
        return DownloadStory(by_status, by_region, success, by_content, labels)

    def _seconds(self, occurred_at: datetime) -> float:
        return (occurred_at - self._plan.anchor).total_seconds()


def _outcome(random_: random.Random, size_mb: float, speeds: tuple[int, int], happening: Sequence[Incident]) -> Fields:
    """How a download goes, incidents included. Draws the same numbers with and without them, so that they change nothing else."""
    status = random_.choices(list(STATUS_WEIGHTS), list(STATUS_WEIGHTS.values()))[0]
    speed, slowness = random_.uniform(*speeds), random_.uniform(*_SLOW_FACTORS)
    share_done, error, luck = random_.random(), random_.choice(list(ERRORS)), random_.random()
    if status == "slow":
        speed *= slowness
    has_failed = status == "failed"
    for incident in happening:
        if incident.type == "slow_cdn":
            speed *= incident.factor
        elif luck >= incident.factor:
            has_failed, error = True, OUTAGE_ERROR
    speed = round(speed, 2)
    done_mb = size_mb * share_done if has_failed else size_mb
    outcome: Fields = {
        "status": "failed" if has_failed else "success",
        "duration_seconds": round(done_mb * _BITS_PER_MEGABYTE / max(speed, 0.01), 3),
        "speed_mbps": speed,
    }
    if has_failed:
        outcome |= {"error_code": error, "error_message": ERRORS[error]}
    return outcome


class DownloadStream(SeededStream):
    """Iterate once; `truth()` tells what was generated so far."""

    def __init__(self, plan: StreamPlan, incidents: Sequence[Incident] = (), encode: Encode = canonical_json) -> None:
        super().__init__(plan, DownloadSource(plan, incidents), encode=encode)
