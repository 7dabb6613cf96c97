"""A broker that takes dead letters but no good events: what is refused as a whole leaves nothing behind, so its repetition counts once."""

from uuid import uuid4

import httpx
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, MAX_RECORD_SIZE_BYTES, TopicSpec
from local_stack.topics import create_topics
from local_stack.waiting import wait_until
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import running_api
from tests.integration.ingestion.reading import read_all
from tests.unit.ingestion.builders import encode, engagement

pytestmark = pytest.mark.integration


def limit_records(bootstrap: str, topic: str, max_bytes: int) -> None:
    """The broker refuses larger records of the topic from now on."""
    change = ConfigEntry("max.message.bytes", str(max_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


@pytest.mark.feature("S0-6", "S0-9")
def test_a_refused_batch_leaves_no_dead_letter_and_its_repetition_one_each(
    kafka_bootstrap: str, storage_settings: StorageSettings
) -> None:
    mark, topic = uuid4().hex[:8], f"live-{uuid4().hex[:8]}"
    create_topics(kafka_bootstrap, [TopicSpec(topic, 1)])
    good, bad = encode(engagement(event_id=f"{mark}-good")), b'{"unreadable": "%s"' % mark.encode()
    identify = {"type": "identify", "userId": "ada", "messageId": f"{mark}-call"}
    calls = {"batch": [identify, {"type": "track", "userId": "ada", "anonymousId": mark}]}

    def kept() -> list[bytes]:
        return [
            letter.value for letter in read_all(kafka_bootstrap, DEAD_LETTER_TOPIC) if mark.encode() in letter.value
        ]

    settings = {"TIDEMARK_KAFKA_TOPIC": topic}
    with running_api(kafka_bootstrap, storage_settings.database_url, **settings) as api:

        def send() -> tuple[httpx.Response, httpx.Response]:
            lines = api.client.post("/v1/batch", content=b"\n".join((good, bad)))
            return lines, api.client.post("/v1/batch", json=calls)

        limit_records(kafka_bootstrap, topic, 1)
        for answer in send():
            assert (answer.status_code, answer.json().get("retryable")) == (503, True), answer.text
            assert "retry-after" in answer.headers
        assert kept() == [], "the answer named none of them"

        limit_records(kafka_bootstrap, topic, MAX_RECORD_SIZE_BYTES)
        wait_until(lambda: api.client.post("/v1/batch", content=good).status_code == 202, "the fault to be over", 30)
        lines, batch = send()

    assert (lines.status_code, lines.json()["accepted"], lines.json()["rejected"]) == (202, 1, 1)
    assert (batch.status_code, batch.json()["accepted"], batch.json()["rejected"]) == (200, 1, 1)
    letters = kept()
    assert sum(letter == bad for letter in letters) == 1
    assert len(letters) == 2
