"""A stack of their own for the fault tests: fresh, with crash points that can be armed, its logs beside every failure."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, free_port_offset
from tests.faults.stack import FaultStack, fault_stack

STACK: pytest.StashKey[Stack] = pytest.StashKey()


@pytest.fixture(scope="package")
def crash_points_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file arms a crash point."""
    return tmp_path_factory.mktemp("crash_points")


@pytest.fixture(scope="package")
def journal_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One journal for all that is sent to the stack: the oracle speaks of all of it."""
    return tmp_path_factory.mktemp("journal")


@pytest.fixture(scope="package")
def faulty(
    tmp_path_factory: pytest.TempPathFactory, crash_points_dir: Path, request: pytest.FixtureRequest
) -> Iterator[FaultStack]:
    """Up once, always down after them."""
    with fault_stack(tmp_path_factory.mktemp("stack"), free_port_offset(), crash_points_dir) as running:
        request.config.stash[STACK] = running.stack
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the ends of the stack's logs to a failed test's report."""
    report = yield
    stack = item.config.stash.get(STACK, None)
    if report.failed and stack is not None:
        report.sections.append(("logs of the stack", stack.logs()))
    return report
