"""What may be a topic, and that no two roles share one."""

import pytest

from ingestion.contracts.topics import MAX_NAME_LENGTH, TopicNames, problems_of


@pytest.mark.feature("S0-4")
def test_the_topics_have_their_names_unless_told_otherwise() -> None:
    names = TopicNames()
    assert names.by_role == {
        "live": "events.raw.v1",
        "imports": "events.import.v1",
        "dead_letters": "events.dlq.v1",
        "downloads": "content-downloads",
    }
    assert names.landed == ("events.raw.v1", "events.dlq.v1", "events.import.v1")
    assert {(spec.name, spec.partitions) for spec in names.specs} == {(name, 4) for name in names.by_role.values()}
    assert problems_of(names.by_role) == []


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * MAX_NAME_LENGTH, "...", "_private"])
def test_a_name_that_kafka_takes_is_taken(name: str) -> None:
    assert problems_of({"ONE": name}) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a,b", "a/b", "é", "a\n", "x" * (MAX_NAME_LENGTH + 1)])
def test_a_name_that_kafka_refuses_is_refused_by_the_name_of_its_setting(name: str) -> None:
    [problem] = problems_of({"ONE": name, "TWO": "fine"})
    assert problem.startswith(f"ONE={name!r} is no name of a Kafka topic: 1 to 249 letters")


def test_kafkas_own_topics_are_left_alone() -> None:
    [problem] = problems_of({"ONE": "__consumer_offsets"})
    assert "choose one that does not begin with '__'" in problem


@pytest.mark.parametrize("name", ["a.b", "a_b"])
def test_two_roles_with_one_topic_are_refused_together(name: str) -> None:
    [problem] = problems_of({"ONE": "a.b", "TWO": "other", "THREE": name})
    assert problem.startswith("ONE and THREE name one topic")
    assert "give each a topic of its own" in problem
