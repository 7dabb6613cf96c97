"""Fixtures of the ingestion package's unit tests."""

from collections.abc import Iterator

import pytest

from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import EdgeClient, running_edge


@pytest.fixture
def edge() -> Iterator[tuple[EdgeClient, InMemorySink]]:
    """The API in this process over a sink in memory."""
    with running_edge() as parts:
        yield parts
