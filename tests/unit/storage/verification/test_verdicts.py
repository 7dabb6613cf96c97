"""The deduplication verdict in SQL equals the rule's text, read naively, for any rows."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.verification import queries

START = datetime(2026, 1, 10, tzinfo=UTC)
HORIZON_DAYS = 7
Row = tuple[str, int, int, str, datetime, datetime, bytes]


@st.composite
def landed_rows(draw: st.DrawFn) -> list[Row]:
    """Rows of few ids, days apart around the horizon, in a few batches and partitions."""
    offsets: dict[tuple[str, int], int] = {}
    rows: list[Row] = []
    for batch in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(0, 5))):
            place = (draw(st.sampled_from(["import", "raw"])), draw(st.integers(0, 1)))
            offsets[place] = offsets.get(place, -1) + 1
            hours = draw(st.sampled_from([0, 1, 24 * 7 - 1, 24 * 7, 24 * 7 + 1, 24 * 14, 24 * 14 + 1]))
            rows.append(
                (
                    *place,
                    offsets[place],
                    draw(st.sampled_from(["a", "b"])),
                    START + timedelta(hours=hours),
                    START + timedelta(days=30, seconds=batch),
                    draw(st.sampled_from([b"x", b"y"])),
                )
            )
    return rows


def naive_verdicts(rows: list[Row]) -> set[tuple[object, ...]]:
    """The rule, read aloud."""
    verdicts: set[tuple[object, ...]] = set()
    for topic, partition, offset, event_id, occurred_at, ingested_at, value in rows:
        earlier = [
            other
            for other in rows
            if other[3] == event_id
            and (other[5], other[0], other[1], other[2]) < (ingested_at, topic, partition, offset)
            and abs(other[4] - occurred_at) <= timedelta(days=HORIZON_DAYS)
        ]
        if earlier:
            winner = min(earlier, key=lambda other: (other[5], other[0], other[1], other[2]))
            verdicts.add((topic, partition, offset, winner[0], winner[1], winner[2], value != winner[6]))
    return verdicts


@pytest.mark.feature("K10")
@settings(max_examples=150, deadline=None)
@given(landed_rows())
def test_verdicts_follow_the_rule(rows: list[Row]) -> None:
    with duckdb.connect() as session:
        session.execute("set TimeZone='UTC'")
        session.execute(
            "create table bronze (kafka_topic varchar, kafka_partition integer, kafka_offset bigint, event_id varchar, "
            "occurred_at timestamptz, ingested_at timestamptz, value blob, app_id varchar default 'public', "
            "rejection_reason varchar, dlq_stage varchar, event_date date default date '2026-01-10')"
        )
        session.execute(
            "create temp table rejected_bodies (kafka_topic varchar, kafka_partition integer, kafka_offset bigint)"
        )
        if rows:
            names = "kafka_topic, kafka_partition, kafka_offset, event_id, occurred_at, ingested_at, value"
            session.executemany(f"insert into bronze ({names}) values (?, ?, ?, ?, ?, ?, ?)", rows)
        queries.set_variables(
            session,
            horizon_days=HORIZON_DAYS,
            horizon_first_day=START.date() - timedelta(days=99),
            horizon_last_day=START.date() + timedelta(days=99),
        )
        queries.run_script(session, "verdicts")
        found = session.execute(
            "select kafka_topic, kafka_partition, kafka_offset, winner_topic, winner_partition, winner_offset, payload_differs "
            "from verdicts"
        ).fetchall()
    assert set(found) == naive_verdicts(rows)
    assert len(found) == len(set(found))
