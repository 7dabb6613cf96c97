"""What is generated from the contracts is committed as generated."""

from scripts.contracts import generated_files, stale_files


def test_generated_files_are_what_the_contracts_say() -> None:
    assert generated_files()
    assert stale_files() == [], "run `python -m scripts.contracts`"
