"""Sessions that spill keep their rows to themselves, and leave nothing behind."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage.duckdb_session import configure, connect_in_memory
from storage.settings import StorageSettings
from storage.spill import SpillFolder, remove_abandoned

ROWS = 400_000
KILLED = "import os, sys; from pathlib import Path; from storage.spill import SpillFolder; \
folder = SpillFolder(Path(sys.argv[1])); folder.path.mkdir(); (folder.path / 'rows').touch(); print(folder.path); \
sys.stdout.flush(); os.kill(os.getpid(), 9)"


@pytest.fixture
def settings(tmp_path: Path) -> StorageSettings:
    return StorageSettings(builds_dir=tmp_path / "builds", duckdb_memory_limit="20MB", duckdb_threads=1)


def spilled(settings: StorageSettings) -> list[Path]:
    return list((settings.builds_dir / "spill").rglob("duckdb_temp*"))


def test_sessions_that_spill_at_the_same_time_keep_their_rows(settings: StorageSettings) -> None:
    # Regression: in one folder they used the same files, and some thousand rows of each were another's, without an error.
    wrong: dict[int, int] = {}
    both_spill = threading.Barrier(2)

    def work(seed: int) -> None:
        connection = connect_in_memory()
        configure(connection, settings)
        connection.execute(f"create table kept as select i, md5((i + {seed})::varchar) as text from range({ROWS}) t(i)")
        both_spill.wait(60)
        [(count,)] = connection.execute(
            f"select count(*) from kept where text <> md5((i + {seed})::varchar)"
        ).fetchall()
        wrong[seed] = count
        both_spill.wait(60)
        assert spilled(settings)
        both_spill.wait(60)
        connection.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 1_000_000_007)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == {1: 0, 1_000_000_007: 0}
    assert not spilled(settings)


def test_a_session_takes_its_folder_with_it(settings: StorageSettings) -> None:
    connection = connect_in_memory()
    configure(connection, settings)
    connection.execute(f"create table kept as select i, md5(i::varchar) as text from range({ROWS}) t(i)")
    assert spilled(settings)
    connection.close()
    del connection
    assert list((settings.builds_dir / "spill").iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_used_stays(tmp_path: Path) -> None:
    used = SpillFolder(tmp_path)
    used.path.mkdir()
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False)
    left = Path(ended.stdout.strip())
    assert ended.returncode == -9
    assert (left / "rows").exists()

    assert remove_abandoned(tmp_path) == [left]
    assert not left.exists()
    assert used.path.exists()
    used.close()
    used.close()
    assert list(tmp_path.iterdir()) == []
