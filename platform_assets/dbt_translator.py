"""How dbt's nodes become Dagster assets: key, group, owner, kinds and tags. The one place of dbt translation."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

OWNERS = ["team:data-platform"]
TAG_NAMES = ("layer", "cadence", "pii")
PUBLISHED = "published"  # prefix of the keys of published tables that models read
PUBLISHED_SCHEMA = "published_"  # before the layer: the schema of the sources that they are
BRONZE_EVENTS = dg.AssetKey(["bronze", "events"])


class TidemarkTranslator(DagsterDbtTranslator):
    """Asset key `[layer, table]`, equal to the lake's schema.table; a published table read as a source is the same asset."""

    def __init__(self) -> None:
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """`[layer, table]`."""
        name = dbt_resource_props.get("identifier") or dbt_resource_props.get("alias") or dbt_resource_props["name"]
        return dg.AssetKey([dbt_resource_props["schema"].removeprefix(PUBLISHED_SCHEMA), name])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The dbt group, `engagement` when none is given."""
        return dbt_resource_props.get("config", {}).get("group") or "engagement"

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """The team that answers for the warehouse."""
        del dbt_resource_props
        return OWNERS

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """Layer, cadence and pii from the model's meta."""
        meta = dbt_resource_props.get("config", {}).get("meta", {})
        tags = {name: str(meta[name]).lower() for name in TAG_NAMES if name in meta}
        return {"layer": dbt_resource_props["schema"], **tags}


class DefinitionTranslator(TidemarkTranslator):
    """For definitions only: dagster-dbt refuses a source that shares a model's key, so a published table gets a key of its own
    here, and `merge_published` puts the model's back."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """As above, except for published tables read as sources."""
        key = super().get_asset_key(dbt_resource_props)
        return key.with_prefix(PUBLISHED) if dbt_resource_props["schema"].startswith(PUBLISHED_SCHEMA) else key


def merge_published(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The spec with its dependencies on published tables pointing at the assets that publish them.

    A table that adds to itself does not depend on itself, nor a working table on what is built from it later.
    """
    deps = [
        dep.asset_key.path for dep in spec.deps if spec.key.path[0] != "staging" or dep.asset_key.path[0] != PUBLISHED
    ]
    paths = sorted({tuple(_without_prefix(path)) for path in deps} - {tuple(spec.key.path)})
    return spec.replace_attributes(deps=[dg.AssetKey(path) for path in paths])


def _without_prefix(path: Sequence[str]) -> Sequence[str]:
    return path[1:] if path[0] == PUBLISHED else path
