"""`python -m scripts.contracts`: writes what is generated from the contracts. `--check` only says whether that would change anything."""

import sys
from pathlib import Path

from ingestion.contracts.formats import avro, dictionary, json_schema, spark_ddl, sql
from scripts import dbt_columns, error_pages

ROOT = Path(__file__).resolve().parent.parent


def generated_files() -> dict[str, str]:
    """Path from the project's root → text, of everything that is generated."""
    return {
        "dbt_project/macros/contract_rules.sql": sql.render(),
        "dbt_project/models/bronze/bronze.yml": dbt_columns.bronze_source(),
        "dbt_project/models/contract_columns.md": dbt_columns.doc_blocks(),
        "docs/contracts/README.md": dictionary.render(),
        "docs/errors.md": error_pages.render(),
        **{f"docs/contracts/{name}": text for name, text in json_schema.files().items()},
        **{f"docs/contracts/{name}": text for name, text in spark_ddl.files().items()},
        **{f"docs/contracts/{name}": text for name, text in avro.files().items()},
    }


def stale_files() -> list[str]:
    """The files that are not what the contracts say, and those that no contract asks for any more."""
    wanted = generated_files()
    leftover = {f"docs/contracts/{path.name}" for path in (ROOT / "docs/contracts").glob("*")} - set(wanted)
    return [name for name, text in wanted.items() if _read(ROOT / name) != text] + sorted(leftover)


def main() -> int:
    """1 with `--check` when a file is stale."""
    stale, wanted = stale_files(), generated_files()
    is_check = "--check" in sys.argv[1:]
    for name in stale:
        if not is_check and name in wanted:
            (ROOT / name).parent.mkdir(exist_ok=True)
            (ROOT / name).write_text(wanted[name], encoding="utf-8")
        elif not is_check:
            (ROOT / name).unlink()
        sys.stdout.write(f"{'stale' if is_check else 'written'}: {name}\n")
    return 1 if stale and is_check else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
