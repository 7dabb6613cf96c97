"""The conservation checker (I1 to I6) as an asset with a check. The checker itself lives in storage.verification.

It is an asset of its own, so that publishing an hour does not run it along: it reads all that was ever landed.
"""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg

from platform_assets.assets.warehouse import PUBLICATION
from platform_assets.dbt_translator import OWNERS
from platform_assets.resources.warehouse import WarehouseResource

VERIFICATION = dg.AssetKey(["operations", "verification"])


@dg.asset(
    key=VERIFICATION,
    deps=[PUBLICATION],
    group_name="operations",
    owners=OWNERS,
    kinds={"duckdb"},
    tags={"layer": "operations", "cadence": "daily"},
    check_specs=[
        dg.AssetCheckSpec(
            "invariants_hold",
            asset=VERIFICATION,
            description="No acknowledged event is lost or counted twice, and gold equals its recomputation from bronze (I1 to I6).",
        )
    ],
    description="The report of the conservation checker, the same as `tidemark verify`. One materialisation per pass.",
)
def verification(warehouse: WarehouseResource) -> Iterator[Any]:
    """The counts as metadata; the check fails with the names of the invariants that do not hold."""
    from storage.verification import verify

    report = verify(warehouse.storage)
    failed = [f"{check.invariant} {check.name}" for check in report.checks if not check.ok]
    yield dg.AssetCheckResult(check_name="invariants_hold", passed=report.ok, metadata={"failed": failed})
    yield dg.MaterializeResult(metadata={"counts": dg.MetadataValue.json(json.loads(json.dumps(report.counts)))})
