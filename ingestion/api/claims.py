"""Whether what a product event says of itself is true here: whose it is, and which variant of an experiment."""

from collections.abc import Callable, Set

from ingestion.api.auth import PUBLIC_APP_ID
from ingestion.contracts.product import Claims
from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection, ValidEvent

# (app, experiment) → the variants that events may name, None when any may be one.
VariantsOf = Callable[[str, str], Set[str] | None]


def judge_claims(
    event: ValidEvent, claims: Claims, app_id: str, guarded_apps: Set[str], variants_of: VariantsOf
) -> ValidEvent | Rejection:
    """The event, unless it says that it belongs to another app than the key does, or names a variant that there is not.

    Without a key an event may name any app that has no key of its own (`guarded_apps`); its experiments are those of the app `public`.
    """
    if claims.app_id is not None and claims.app_id != app_id:
        if app_id != PUBLIC_APP_ID:
            message = f"the key belongs to {app_id}, the event to {claims.app_id}"
            return _reject(event, Reason.WRONG_APP, message)
        if claims.app_id in guarded_apps:
            return _reject(
                event, Reason.KEY_REQUIRED, f"the event belongs to {claims.app_id}, which has a key: send it"
            )
    if claims.experiment_id is not None and claims.variant is not None:
        variants = variants_of(app_id, claims.experiment_id)
        if variants is not None and claims.variant not in variants:
            return _reject(event, Reason.UNKNOWN_VARIANT, f"expected one of {', '.join(sorted(variants))[:200]}")
    return event


def _reject(event: ValidEvent, reason: Reason, message: str) -> Rejection:
    return Rejection(reason, message, event.event_id, event.event_type, event.user_id, event.kept)
