"""Why an event was not taken as good: one code per reason, the same from the HTTP answer to `silver.quarantine`.

Codes are part of the platform's interface: they are stored, counted and shown. Add one, never rename one.
"""

from enum import StrEnum


class Reason(StrEnum):
    """A rejection reason. The first group is decided at the edge, the second when a record lands in bronze, the third by a consumer
    that cannot handle a record: then the event itself may be good."""

    MALFORMED_JSON = "malformed_json"
    DUPLICATE_KEY = "duplicate_key"
    INVALID_UTF8 = "invalid_utf8"
    NOT_FINITE_NUMBER = "not_finite_number"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_FAMILY = "unknown_family"
    OCCURRED_IN_FUTURE = "occurred_in_future"
    BEFORE_FIRST_DAY = "before_first_day"
    WRONG_APP = "wrong_app"
    KEY_REQUIRED = "key_required"
    UNKNOWN_VARIANT = "unknown_variant"
    BODY_TOO_LARGE = "body_too_large"
    MALFORMED_ROW = "malformed_row"
    UNKNOWN_SCHEMA = "unknown_schema"
    MALFORMED_AVRO = "malformed_avro"

    MISSING_HEADER = "missing_header"
    EMPTY_VALUE = "empty_value"
    UNKNOWN_CONTRACT = "unknown_contract"
    BAD_OCCURRED_AT = "bad_occurred_at"
    BAD_RECEIVED_AT = "bad_received_at"
    NULL_KEY = "null_key"

    UNSTORABLE = "unstorable"
    HANDLER_FAILED = "handler_failed"
