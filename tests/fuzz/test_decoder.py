"""The judging of events agrees with a slow reference, for every input that was ever found and some thousands more. See `make fuzz`."""

import subprocess
import sys
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]


def test_the_decoder_agrees_with_the_reference(tmp_path: Path) -> None:
    # A process of its own: atheris rewrites the modules that it watches.
    # No limit of memory: the fuzzer would count what the process of all tests held when it started this one.
    options = ["-runs=4000", "-seed=1", "-max_total_time=10", "-max_len=400", "-rss_limit_mb=0"]
    options.append(f"-artifact_prefix={tmp_path}/")
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.decoder", *options, str(tmp_path), str(CORPUS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "DONE" in run.stderr
