"""Prints .env.example: every setting of every package with its default, from the settings models themselves.

`python -m scripts.env_example > .env.example`; a test compares the file with this output, so that neither drifts.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parent.parent
MODELS = (
    "local_stack.settings:StackSettings",
    "storage.settings:StorageSettings",
    "storage.control.token_settings:TokenSettings",
    "ingestion.settings:IngestionSettings",
    "ingestion.settings:GeneratorSettings",
    "streaming.settings:StreamingSettings",
    "storage.hot_store.settings:HotStoreSettings",
    "streaming.hot_store.settings:HotStoreConsumerSettings",
    "platform_assets.settings:OrchestrationSettings",
    "serving.settings:ServingSettings",
)
HEAD = """\
# Every setting with its default. `tidemark up` sets what depends on where the stack is (addresses, folders, ports); what is set
# in the environment wins, so that an own Kafka, PostgreSQL or S3 is only another value here.
"""
# Read outside the models, because they are needed before any settings are.
OTHERS = """
# local_stack: needed before the settings
# Folder of downloaded jars, shared by checkouts.
# TIDEMARK_CACHE=~/.cache/tidemark
# PostgreSQL database of Dagster's own storage; read by dagster.yaml.
# TIDEMARK_DAGSTER_DATABASE_URL=postgresql://tidemark@127.0.0.1:5432/dagster
"""


def render() -> str:
    """The whole file. A name that two packages read stands once, in the first."""
    seen: set[str] = set()
    parts = [HEAD, OTHERS]
    for reference in MODELS:
        module, name = reference.split(":")
        model: type[BaseSettings] = getattr(importlib.import_module(module), name)
        parts.append(f"\n# {module.split('.')[0]}: {name}\n")
        for field_name, field in model.model_fields.items():
            variable = variable_of(model, field_name, field)
            if variable not in seen:
                parts.append(f"# {field.description}{others_of(field)}\n# {variable}={default_of(field)}\n")
                seen.add(variable)
    return "".join(parts)


def variable_of(model: type[BaseSettings], field_name: str, field: FieldInfo) -> str:
    """The environment variable that the field is read from."""
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{model.model_config.get('env_prefix', '')}{field_name}".upper()


def others_of(field: FieldInfo) -> str:
    """The field's second names, in words."""
    if not isinstance(field.validation_alias, AliasChoices):
        return ""
    return f" Also read from {', '.join(str(choice) for choice in field.validation_alias.choices[1:])}."


def default_of(field: FieldInfo) -> str:
    """The default as it would be written in the environment; folders of this checkout relative to it."""
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        value = value.relative_to(ROOT)
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value)
    return "" if value is None else str(value)


if __name__ == "__main__":
    sys.stdout.write(render())
