"""Registers simulated experiments at the ingestion API, so that it takes their variants."""

from collections.abc import Sequence
from urllib.parse import quote

import httpx

from ingestion.generators.experiments import SimulatedExperiment
from ingestion.generators.sender import SendError, SendTarget, UnreachableError


def register_experiments(
    target: SendTarget, experiments: Sequence[SimulatedExperiment], *, transport: httpx.BaseTransport | None = None
) -> None:
    """Idempotent. Raises: UnreachableError, SendError."""
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    with httpx.Client(base_url=target.url, headers=headers, timeout=30.0, transport=transport) as client:
        for experiment in experiments:
            body = {"variants": list(experiment.variants), "shares": list(experiment.shares)}
            path = f"/experiments/{quote(experiment.experiment_id, safe='')}"
            try:
                answer = client.put(path, json=body)
            except httpx.TransportError as error:
                raise UnreachableError(f"the ingestion API is unreachable: {type(error).__name__}") from None
            if answer.status_code not in (200, 201):
                raise SendError(
                    f"{experiment.experiment_id} was not registered: {answer.status_code} {answer.text[:300]}"
                )
