"""The stack that end-to-end tests share, and its logs beside every failure."""

from collections.abc import Generator, Iterator

import pytest

from tests.e2e.stack import Stack, free_port_offset

STACK: pytest.StashKey[Stack] = pytest.StashKey()
# Not the defaults: whatever part of the platform knew a topic by heart would be found out here. `make demo` runs on the defaults.
TOPICS = {
    "KAFKA_TOPIC": "acme.events",
    "KAFKA_DLQ_TOPIC": "acme.rejected",
    "TIDEMARK_KAFKA_IMPORT_TOPIC": "acme.history",
    "TIDEMARK_KAFKA_DOWNLOADS_TOPIC": "acme.downloads",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is end to end and may take minutes."""
    for item in items:
        if "tests/e2e/" in item.nodeid:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="package")
def running_stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack of its own, up once for the end-to-end tests, always down after them."""
    stack = Stack(tmp_path_factory.mktemp("stack"), free_port_offset(), settings=TOPICS)
    request.config.stash[STACK] = stack
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the ends of the stack's logs to a failed test's report."""
    report = yield
    stack = item.config.stash.get(STACK, None)
    if report.failed and stack is not None:
        report.sections.append(("logs of the stack", stack.logs()))
    return report
