"""The table of processes: what each finds at its start."""

from pathlib import Path

from local_stack import environment
from local_stack.processes import build_table
from local_stack.settings import StackSettings


def test_what_a_killed_driver_left_in_its_scratch_is_gone_at_its_next_start_and_no_others(tmp_path: Path) -> None:
    # Regression: it stayed for ever, on the file system of bronze and Kafka, up to 60 MB for each kill.
    settings = StackSettings(home=tmp_path / "a home", port_offset=200)
    (settings.home / "postgres").mkdir(parents=True)
    (settings.home / "postgres" / "password").write_text("secret")
    table = build_table(settings, environment.compute(settings, "secret", "a.jar", processors=4))
    drivers = {spec.name: spec for spec in table if spec.name in ("land_bronze", "realtime_windows")}
    scratch = {name: Path(spec.env["TIDEMARK_STREAMING_SCRATCH_DIR"]) for name, spec in drivers.items()}
    assert len(set(scratch.values())) == 2
    for spec in drivers.values():
        assert spec.prepare is not None
        spec.prepare()
    for folder in scratch.values():
        assert folder.is_relative_to(settings.home)
        (folder / "blockmgr-1" / "00").mkdir(parents=True)
    again = drivers["land_bronze"].prepare
    assert again is not None
    again()
    assert [len(list(scratch[name].iterdir())) for name in ("land_bronze", "realtime_windows")] == [0, 1]
