"""Which publications may expire: pure choice here, the act in the maintenance asset.

Kept: the newest publication of every hour, every one that restated something (by the ledger, whatever its cause: an arrival may change an
hour that is closed, too), every one with another cause than `arrival`, the newest of all, and those younger than the grace period.
Snapshots without a publication go with them.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from storage.publications import Publication


def choose_kept(
    publications: Iterable[Publication], restating: Collection[int], now: datetime, recent: timedelta
) -> set[int]:
    """Ids of the publications to keep. `restating`: those that the restatement ledger names."""
    kept: set[int] = set()
    covered: set[datetime] = set()
    for index, publication in enumerate(sorted(publications, key=lambda item: -item.publication_id)):
        is_newest_of_an_hour = any(hour not in covered for hour in publication.hours)
        is_young = publication.published_at > now - recent
        is_restating = publication.cause != "arrival" or publication.publication_id in restating
        if index == 0 or is_young or is_restating or is_newest_of_an_hour:
            kept.add(publication.publication_id)
        covered.update(publication.hours)
    return kept
