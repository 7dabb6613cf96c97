"""Runs dbt for a build plan through dagster-dbt and turns its failures into something a person can act on.

Reads dbt's run results and the failed checks' stored rows; decides nothing about publishing.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from platform_assets.build import BuildPlan
from platform_assets.column_metadata import ColumnMetadataFile, count_rows
from platform_assets.dbt_translator import TidemarkTranslator
from platform_assets.growth import BROKEN_CHECK, FAILED_CHECK, MODEL
from platform_assets.resources.dbt import OfflineDbtCliResource
from storage.settings import StorageSettings

SAMPLE_ROWS = 5


@dataclass(frozen=True)
class FailedNode:
    """A dbt test or model that did not pass. `relation` holds the failing rows of a test."""

    name: str
    kind: str
    message: str
    failures: int
    relation: str | None


class BuildFailedError(Exception):
    """A model or a check failed: nothing is published. `failed` names what, `samples` shows rows of failed checks."""

    def __init__(self, failed: list[FailedNode], samples: dict[str, list[dict[str, str]]], events: list[Any]) -> None:
        self.failed = failed
        self.samples = samples
        self.events = events
        names = ", ".join(map(self._describe, failed)) or "dbt (see the run's log)"
        super().__init__(f"{names} failed; nothing was published, the hours stay dirty")

    @property
    def blocked_by(self) -> str:
        """What to show as the reason of the block: the first failed check, else the first failed model."""
        for node in sorted(self.failed, key=lambda node: node.kind != FAILED_CHECK):
            return self._describe(node)
        return "dbt build"

    def _describe(self, node: FailedNode) -> str:
        """Its name, and of a check with several rules those that its sample rows break."""
        rules = sorted({row["rule"] for row in self.samples.get(node.name, []) if "rule" in row})
        return f"{node.kind} {node.name}" + (f" ({', '.join(rules)})" if rules else "")


class DbtRunner:
    """Calls `dbt build` for one plan at a time and returns dagster-dbt's events.

    `describe` adds what delays nobody after the promotion: row counts, column schema and column lineage.
    """

    def __init__(
        self, dbt: OfflineDbtCliResource, storage: StorageSettings, manifest: Path, columns: ColumnMetadataFile
    ) -> None:
        self._dbt = dbt
        self._storage = storage
        self._manifest = manifest
        self._columns = columns
        self._translator = TidemarkTranslator()
        self._latest: BuildPlan | None = None

    def __call__(self, plan: BuildPlan) -> list[Any]:
        """The events of a build in which every model and check passed.

        Raises:
            BuildFailedError: something failed.
        """
        # dbt inherits them.
        os.environ.update(plan.environment(self._storage))
        invocation = self._dbt.cli(
            plan.dbt_arguments(),
            manifest=self._manifest,
            dagster_dbt_translator=self._translator,
            target_path=plan.build_file.parent.resolve() / "target",
            raise_on_error=False,
        )
        events = list(invocation.stream())
        self._latest = plan
        if not invocation.is_successful():
            failed = list(read_failures(invocation.target_path))
            raise BuildFailedError(failed, read_samples(plan.build_file, failed), events)
        return events

    def describe(self, events: list[Any]) -> list[Any]:
        """The events of the newest build with its row counts, and with column schema and lineage once the docs run has found them."""
        if self._latest is None:
            return events
        built = [event for event in events if isinstance(event, dg.AssetMaterialization)]
        counts = count_rows(self._latest.build_file, [event.asset_key for event in built])
        columns = self._columns.read() or {}
        return [
            event.with_metadata(
                {
                    **event.metadata,
                    **({"dagster/row_count": counts[event.asset_key]} if event.asset_key in counts else {}),
                    **columns.get(event.asset_key, {}),
                }
            )
            if isinstance(event, dg.AssetMaterialization)
            else event
            for event in events
        ]


def read_failures(target_path: Path) -> Iterator[FailedNode]:
    """The failed nodes of dbt's run results, in the order they ran; skipped ones are consequences and left out."""
    results = target_path / "run_results.json"
    if not results.exists():
        return
    for result in json.loads(results.read_text())["results"]:
        if result["status"] in ("error", "fail"):
            unique_id: str = result["unique_id"]
            yield FailedNode(
                name=_short_name(unique_id),
                kind=_kind(unique_id, result["status"]),
                message=result.get("message") or "",
                failures=result.get("failures") or 0,
                relation=result.get("relation_name"),
            )


def _kind(unique_id: str, status: str) -> str:
    if not unique_id.startswith("test."):
        return MODEL
    return FAILED_CHECK if status == "fail" else BROKEN_CHECK


def _short_name(unique_id: str) -> str:
    return unique_id.split(".")[2]


def read_samples(build_file: Path, failed: list[FailedNode]) -> dict[str, list[dict[str, str]]]:
    """A few stored rows of each failed check, as text, by check name."""
    import duckdb

    samples: dict[str, list[dict[str, str]]] = {}
    relations = {node.name: node.relation for node in failed if node.relation}
    if not relations or not build_file.exists():
        return samples
    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH '{build_file}' AS build (READ_ONLY)")
        for name, relation in relations.items():
            try:
                cursor = connection.execute(f"select * from {relation} limit {SAMPLE_ROWS}")
            except duckdb.Error:
                continue  # the check failed before it stored rows; its message is in the report
            names = [column[0] for column in cursor.description or []]
            samples[name] = [dict(zip(names, map(str, row), strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()
    return samples


def failure_metadata(error: BuildFailedError) -> dict[str, dg.MetadataValue]:
    """What a failed run shows: each failed node with its message, and sample rows as tables."""
    lines = [f"- **{node.kind} {node.name}**: {node.failures} rows. {node.message}" for node in error.failed]
    metadata: dict[str, Any] = {"failed": dg.MetadataValue.md("\n".join(lines) or "no node result; see the log")}
    for name, rows in error.samples.items():
        metadata[f"sample_rows_{name}"] = dg.MetadataValue.json(rows)
    return metadata
