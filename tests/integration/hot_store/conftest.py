"""Real stores: PostgreSQL of the session, and DynamoDB as moto's server speaks it, on this machine."""

import os
from collections.abc import Iterator
from unittest import mock
from uuid import uuid4

import pytest

from local_stack.ports import free_port
from storage.hot_store.dynamodb import DynamoHotStore
from storage.hot_store.memory import InMemoryHotStore
from storage.hot_store.postgres import PostgresHotStore
from storage.hot_store.settings import HotStoreSettings
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings

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
