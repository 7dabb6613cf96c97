"""Real stores: PostgreSQL of the session, and DynamoDB as moto's server speaks it, on this machine; a broker and a group for workers."""

import os
from collections.abc import Iterator
from unittest import mock
from uuid import uuid4

import pytest

from local_stack.broker import running_broker
from local_stack.ports import free_port
from local_stack.topics import create_topics
from storage.hot_store.dynamodb import DynamoHotStore
from storage.hot_store.memory import InMemoryHotStore
from storage.hot_store.opening import open_hot_store
from storage.hot_store.postgres import PostgresHotStore
from storage.hot_store.settings import HotStoreSettings
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from tests.integration.hot_store.workers import group_at_the_end

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    """An address that speaks DynamoDB and S3. In memory: gone with the session."""
    from moto.server import ThreadedMotoServer

    port = free_port()
    with mock.patch.dict(os.environ, AWS):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        yield f"http://127.0.0.1:{port}"
        server.stop()


@pytest.fixture
def dynamodb_settings(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> HotStoreSettings:
    """A table of this test's own."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    return HotStoreSettings(
        backend="dynamodb", dynamodb_endpoint_url=aws_endpoint, dynamodb_table=f"EventsHot-{uuid4().hex[:8]}"
    )


@pytest.fixture(params=["memory", "postgres", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Iterator[HotStore]:
    """Each of the stores, empty and prepared."""
    found: HotStore
    if request.param == "memory":
        found = InMemoryHotStore()
    elif request.param == "postgres":
        storage: StorageSettings = request.getfixturevalue("storage_settings")
        found = PostgresHotStore(storage.database_url)
    else:
        found = DynamoHotStore(request.getfixturevalue("dynamodb_settings"))
    found.prepare()
    yield found
    found.close()


@pytest.fixture(scope="package")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of its own: a new group reads all that is there, and counts it."""
    with running_broker(tmp_path_factory.mktemp("hot_store_broker")) as address:
        create_topics(address)
        yield address


@pytest.fixture
def app_id() -> str:
    return f"app_{uuid4().hex[:8]}"


@pytest.fixture
def group(bootstrap: str) -> str:
    """A group of this test."""
    return group_at_the_end(bootstrap, f"event-processors-{uuid4().hex[:8]}")


@pytest.fixture
def postgres(storage_settings: StorageSettings) -> Iterator[HotStore]:
    store = open_hot_store(HotStoreSettings(), storage_settings)
    yield store
    store.close()
