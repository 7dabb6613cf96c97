"""`python -m tests.features`: every FEATURES row, the tests that name it, and whether they passed in the last run.

Rows are in feature_ids.txt; outcomes come from the plugin tests/fixtures/features.py. `--brief` prints one line.
"""

import json
import sys
from pathlib import Path

IDS_FILE = Path(__file__).with_name("feature_ids.txt")
REPORT_FILE = Path(__file__).resolve().parent.parent / ".pytest_cache" / "features.json"


def verdict(outcomes: dict[str, str]) -> str:
    """passed when all tests of the row passed, failed when one did not, skipped when none ran, missing when there is none."""
    if not outcomes:
        return "missing"
    values = set(outcomes.values())
    if "failed" in values:
        return "failed"
    return "passed" if "passed" in values else "skipped"


def read_rows() -> list[tuple[str, dict[str, str]]]:
    """(id, test → outcome) for every row, in the table's order; ids that no row has come last."""
    found: dict[str, dict[str, str]] = json.loads(REPORT_FILE.read_text()) if REPORT_FILE.exists() else {}
    known = IDS_FILE.read_text().split()
    unknown = sorted(found.keys() - set(known))
    return [(feature_id, found.get(feature_id, {})) for feature_id in (*known, *unknown)]


def main() -> None:
    """Prints the table, or its summary."""
    rows = read_rows()
    verdicts = [verdict(outcomes) for _, outcomes in rows]
    if "--brief" not in sys.argv[1:]:
        for (feature_id, outcomes), found in zip(rows, verdicts, strict=True):
            print(f"{feature_id:8} {found:8} {len(outcomes) or ''}")
            for test, outcome in sorted(outcomes.items()):
                print(f"         {outcome:8} {test}")
    summary = ", ".join(f"{verdicts.count(name)} {name}" for name in ("passed", "failed", "skipped", "missing"))
    print(f"features: {summary} of {len(rows)} rows")


if __name__ == "__main__":
    main()
