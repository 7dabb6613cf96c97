"""Every way in which Kafka, checkpoint and bronze can disagree is found before landing starts; a crash is none of them."""

import pytest

from ingestion.contracts.topics import TopicNames
from streaming.checkpoints import LandingState, QueryPlace
from streaming.commit_metadata import Offsets
from streaming.errors import ConfigurationError, StartRefusedError
from streaming.guards import check_broker_holds, check_names, check_query, check_topics, known_topic_ids, refuse

TOPICS = ("t",)


def place(committed: int, planned: int, initial: int = 0) -> QueryPlace:
    return QueryPlace(
        "id", {"t": {0: initial}}, {"t": {0: committed}}, {"t": {0: planned}}, has_batches=planned > initial
    )


@pytest.mark.parametrize(
    ("name", "where", "state", "landed"),
    [
        ("first start ever", QueryPlace(), LandingState(), {}),
        ("nothing sent yet", place(0, 0), LandingState(), {}),
        ("clean stop", place(10, 10), LandingState(), {"t": {0: 9}}),
        ("killed before Delta's commit", place(10, 15), LandingState(), {"t": {0: 9}}),
        ("killed after Delta's commit", place(10, 15), LandingState(), {"t": {0: 14}}),
        ("killed in the first batch", place(0, 5), LandingState(), {}),
        ("recovered, not started", QueryPlace(), LandingState(1, {"t": {0: 10}}), {"t": {0: 9}}),
        ("recovered, killed before its first batch", place(10, 10, 10), LandingState(1, {"t": {0: 10}}), {"t": {0: 9}}),
        ("topic without its oldest records", place(500, 500, 500), LandingState(), {}),
        ("other topics in bronze", place(0, 0), LandingState(), {"other": {0: 99}}),
        ("a partition was added", place(10, 10), LandingState(), {"t": {0: 9}, "u": {1: 3}}),
    ],
)
def test_landing_may_start_after(name: str, where: QueryPlace, state: LandingState, landed: Offsets) -> None:
    assert check_query("live", TOPICS, where, state, landed) == []


@pytest.mark.parametrize(
    ("name", "where", "state", "landed", "says"),
    [
        ("checkpoint deleted", QueryPlace(), LandingState(), {"t": {0: 9}}, "no checkpoint"),
        ("checkpoint emptied", place(0, 0), LandingState(), {"t": {0: 9}}, "does not fit"),
        ("checkpoint is an older copy", place(5, 7), LandingState(), {"t": {0: 9}}, "does not fit"),
        ("bronze deleted", place(10, 10), LandingState(), {}, "bronze goes on at 0"),
        ("bronze is an older copy", place(10, 15), LandingState(), {"t": {0: 4}}, "bronze goes on at 5"),
        (
            "deleted again after recovery",
            QueryPlace(),
            LandingState(1, {"t": {0: 10}}),
            {"t": {0: 19}},
            "no checkpoint",
        ),
        ("one partition missing", place(10, 10), LandingState(), {"t": {0: 9, 1: 4}}, "t/1: bronze goes on at 5"),
    ],
)
def test_landing_is_refused_when(name: str, where: QueryPlace, state: LandingState, landed: Offsets, says: str) -> None:
    [problem] = check_query("live", TOPICS, where, state, landed)

    assert says in problem
    assert "tidemark recover land-bronze" in problem


def test_a_topic_with_another_id_is_a_problem_and_a_new_topic_is_none() -> None:
    assert check_topics({"t": "1"}, {"t": "1", "new": "2"}) == []
    [problem] = check_topics({"t": "1"}, {"t": "2"})
    assert "recreated" in problem


def test_topics_of_other_names_or_other_roles_are_a_problem() -> None:
    names = TopicNames(live="new", dead_letters="letters", imports="imports")
    as_before = LandingState(topic_roles=names.landed_roles)
    assert check_names(LandingState(), [], names) == []
    assert check_names(as_before, ["new", "letters"], names) == []
    [renamed] = check_names(LandingState(topic_roles={"live": "old"}), ["old"], names)
    assert "set TIDEMARK_KAFKA_TOPIC=old again" in renamed
    [unnamed] = check_names(LandingState(), ["old", "new"], names)
    assert "topic old, which no setting names" in unnamed
    swapped = check_names(as_before, names.landed, TopicNames(live="letters", dead_letters="new", imports="imports"))
    assert len(swapped) == 2


def test_a_broker_with_fewer_records_than_bronze_is_a_problem() -> None:
    assert check_broker_holds({"t": {0: 9}}, {"t": {0: 10}}) == []
    assert len(check_broker_holds({"t": {0: 9, 1: 0}}, {"t": {0: 9}})) == 2


def test_the_state_file_knows_better_than_bronze() -> None:
    assert known_topic_ids(None, None) == {}
    assert known_topic_ids(LandingState(topic_ids={"t": "1"}), None) == {"t": "1"}


def test_refusal_names_all_problems_and_is_permanent() -> None:
    refuse([])
    with pytest.raises(StartRefusedError, match=r"first.*second") as caught:
        refuse(["first", "second"])
    assert isinstance(caught.value, ConfigurationError)
