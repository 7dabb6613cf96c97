"""What users may rely on, and what they need not install."""

import inspect
import subprocess
import sys

import pytest

import ingestion.sdk as sdk
from ingestion.sdk.events import SDK_VERSION
from platform_assets.settings import PROJECT_ROOT

HEAVY = ("fastapi", "starlette", "kafka", "confluent_kafka", "sqlalchemy", "pyspark", "dagster", "duckdb", "structlog")
PROBE = f"import sys, ingestion.sdk; print(sorted(set({HEAVY!r}) & set(sys.modules)))"


@pytest.mark.feature("S1-1")
def test_the_public_names_are_these() -> None:
    assert sdk.__all__ == [
        "AbandonedError",
        "ClientClosedError",
        "Event",
        "EventClient",
        "InvalidEventError",
        "LostEventError",
        "NotAcknowledgedError",
        "QueueFullError",
        "RefusedError",
        "RejectedError",
        "SDKDeliveryError",
        "SDKError",
        "SDKValidationError",
        "SpoolError",
        "SpoolLockedError",
        "Stats",
        "Tuning",
        "UnavailableError",
        "UnknownVariantError",
    ]
    assert all(hasattr(sdk, name) for name in sdk.__all__)


@pytest.mark.feature("S1-1")
def test_both_call_forms_have_the_documented_parameters_in_order() -> None:
    client = [*inspect.signature(sdk.EventClient).parameters]
    track = [*inspect.signature(sdk.EventClient.track).parameters]
    create = [*inspect.signature(sdk.Event.create).parameters]
    assert client[:3] == ["app_id", "endpoint", "timeout"]
    assert inspect.signature(sdk.EventClient).parameters["timeout"].default == 4
    assert track[1:6] == create[:5] == ["user_id", "event_type", "experiment_id", "variant", "properties"]


def test_importing_it_in_a_fresh_interpreter_loads_no_server_and_no_engine() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.feature("S1-2")
def test_validation_and_delivery_errors_have_nothing_but_the_root_in_common() -> None:
    for error in (sdk.InvalidEventError, sdk.UnknownVariantError):
        assert issubclass(error, sdk.SDKValidationError)
        assert not issubclass(error, sdk.SDKDeliveryError)
    for error in (
        sdk.QueueFullError,
        sdk.RejectedError,
        sdk.AbandonedError,
        sdk.RefusedError,
        sdk.UnavailableError,
        sdk.SpoolLockedError,
    ):
        assert issubclass(error, sdk.SDKDeliveryError)
        assert not issubclass(error, sdk.SDKValidationError)
    assert issubclass(sdk.SDKValidationError, sdk.SDKError)
    assert issubclass(sdk.SDKDeliveryError, sdk.SDKError)


def test_the_drawing_of_the_errors_names_every_one() -> None:
    from ingestion.sdk import errors

    drawn = errors.__doc__ or ""
    assert [name for name in sdk.__all__ if name.endswith("Error") and name not in drawn] == []


def test_the_version_is_the_packages() -> None:
    assert f'version = "{SDK_VERSION.partition("/")[2]}"' in (PROJECT_ROOT / "pyproject.toml").read_text()
