"""The docs' copy of a build: of the newest one that is finished, with its Avro schemas, whatever the folder held before."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb

from platform_assets.build import copy_newest_build

WRITER = "import duckdb, sys; session = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def make_build(builds: Path, name: str, value: int, age: int) -> Path:
    build_file = builds / name / "build.duckdb"
    build_file.parent.mkdir(parents=True)
    with duckdb.connect(str(build_file)) as session:
        session.execute(f"create table t as select {value} as x")
    (build_file.parent / "avro_schemas.json").write_text("{}")
    os.utime(build_file, (1_000_000 - age, 1_000_000 - age))
    return build_file


def test_one_that_is_being_written_is_left_out_and_twice_is_once(tmp_path: Path) -> None:
    builds, target = tmp_path / "builds", tmp_path / "builds" / "docs" / "copy"
    assert copy_newest_build(builds, target) is None
    make_build(builds, "older", 1, age=10)
    newest = make_build(builds, "newest", 2, age=0)
    line = [sys.executable, "-c", WRITER, str(newest)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        assert read(copy_newest_build(builds, target)) == 1
        writer.kill()
    os.utime(newest, (1_000_001, 1_000_001))
    for _ in range(2):
        assert read(copy_newest_build(builds, target)) == 2
    assert sorted(path.name for path in target.iterdir()) == ["avro_schemas.json", "build.duckdb"]


def read(build_file: Path | None) -> int:
    assert build_file is not None
    with duckdb.connect(str(build_file), read_only=True) as session:
        return int(session.execute("select x from t").fetchall()[0][0])
