"""`make fuzz`: the long versions. The decoder against its reference, then all phases of schemathesis against a real process.

FUZZ_SECONDS (600) are shared by both. Exit status 1 when anything was found; the decoder's findings are in .fuzz/.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from schemathesis import openapi

from local_stack.broker import running_broker
from local_stack.postgres import create_database, running_postgres
from local_stack.topics import create_topics
from storage.control import migrate
from storage.settings import StorageSettings
from tests.fuzz.conformance import Findings, examine, make_config
from tests.fuzz.test_decoder import CORPUS, ROOT
from tests.integration.ingestion.processes import running_api

FOUND = ROOT / ".fuzz"


def main() -> int:
    """0 when nothing was found."""
    seconds, seed = int(os.environ.get("FUZZ_SECONDS", "600")), int(time.time())
    FOUND.mkdir(exist_ok=True)
    is_decoder_good = fuzz_decoder(seconds // 2, seed)
    findings = fuzz_api(seconds // 2, seed)
    print(f"seed {seed}: requests {dict(findings.cases)}, statuses {dict(findings.statuses)}")
    for problem in findings.problems:
        print(problem)
    return 0 if is_decoder_good and not findings.problems else 1


def fuzz_decoder(seconds: int, seed: int) -> bool:
    """True when no input was found."""
    options = [f"-max_total_time={seconds}", f"-seed={seed % 2**31}", "-max_len=2000", f"-artifact_prefix={FOUND}/"]
    inputs = FOUND / "inputs"
    inputs.mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "tests.fuzz.decoder", *options, str(inputs), str(CORPUS)]
    return subprocess.run(argv, cwd=ROOT, check=False).returncode == 0


def fuzz_api(seconds: int, seed: int) -> Findings:
    """What is found on a process with a real broker and a real database, which must be healthy at the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder) / "broker") as bootstrap,
        running_postgres(Path(folder) / "postgres") as server,
    ):
        create_topics(bootstrap)
        settings = StorageSettings(database_url=create_database(server, "tidemark"))
        migrate(settings)
        with running_api(bootstrap, settings.database_url) as api:
            config = make_config(seed, max_examples=200, max_seconds=max(seconds, 1))
            findings = examine(openapi.from_url(str(api.client.base_url.join("/openapi.json")), config=config))
            try:
                api.client.get("/health").raise_for_status()
            except httpx.HTTPError as error:
                findings.problems.append(f"not healthy afterwards: {error!r}")
    return findings


if __name__ == "__main__":
    sys.exit(main())
