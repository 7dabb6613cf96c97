"""The vocabulary of live minutes: by what they are broken down, and why a record is in none. Values are stored; never change one."""

from enum import StrEnum


class Breakdown(StrEnum):
    """What a cell's keys are. One record counts once in each breakdown of its family (once per hashtag)."""

    EVENTS = "events"
    """family, event type, platform (`none` where the family has none)"""
    CONTENT = "content"
    """content id, region"""
    DEVICE = "device"
    """device, version of its operating system"""
    ERROR = "error"
    """region, error code (`none` for a download without)"""
    HASHTAG = "hashtag"
    """hashtag of a created post"""
    REJECTED = "rejected"
    """reason; filed under the minute of Kafka's timestamp"""
    LEFT_OUT = "left_out"
    """one record, by its place: it becomes a row of the ledger, not a minute"""


KEY_NAMES: dict[Breakdown, tuple[str, ...]] = {
    Breakdown.EVENTS: ("family", "event_type", "platform"),
    Breakdown.CONTENT: ("content_id", "region"),
    Breakdown.DEVICE: ("device", "os_version"),
    Breakdown.ERROR: ("region", "error_code"),
    Breakdown.HASHTAG: ("hashtag",),
    Breakdown.REJECTED: ("reason",),
}


class LeftOut(StrEnum):
    """Why a record is in no live minute."""

    REJECTED = "rejected"
    """no event: landing rejects it too"""
    LATE = "late"
    """received more than the lateness after it occurred"""
    DELAYED = "delayed"
    """on time by its stamps, but in Kafka only when its minute may be closed (a bridge was down)"""
    UNREADABLE = "unreadable"
    """its body lacks what windows are keyed by, or is Avro with a schema that was not known yet"""
