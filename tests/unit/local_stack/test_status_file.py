"""The status file and the lock, without a supervisor."""

import os
from pathlib import Path

import pytest

from local_stack.errors import AlreadyRunningError
from local_stack.settings import StackSettings
from local_stack.status_file import holder_pid, read_status, take_lock, write_status


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    return StackSettings(home=tmp_path)


def test_a_home_without_a_stack_is_stopped(settings: StackSettings) -> None:
    assert holder_pid(settings) is None
    assert read_status(settings).state == "stopped"


def test_the_lock_names_its_holder_and_refuses_a_second(settings: StackSettings) -> None:
    with take_lock(settings, os.getpid()):
        assert holder_pid(settings) == os.getpid()
        with pytest.raises(AlreadyRunningError, match=f"pid {os.getpid()}.*tidemark down"):
            take_lock(settings, 1)
    assert holder_pid(settings) is None


def test_a_status_counts_only_while_its_writer_lives(settings: StackSettings) -> None:
    process = {"name": "api", "pid": 1, "state": "ready", "is_task": False, "restarts": 0, "detail": ""}
    status = {"state": "ready", "supervisor_pid": os.getpid(), "processes": [process]}
    write_status(settings, status)
    assert read_status(settings).state == "stopped"
    with take_lock(settings, os.getpid()):
        assert read_status(settings).processes[0].name == "api"
        write_status(settings, {**status, "supervisor_pid": 1})
        assert read_status(settings).state == "starting"
