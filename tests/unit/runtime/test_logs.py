"""Log lines: JSON where machines read, colour where people look, and nothing that is nobody's business."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from runtime.logs import configure_logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def log_something() -> None:
    structlog.get_logger("one").info("batch taken", accepted=3)
    logging.getLogger("uvicorn.error").warning("something of %s", "uvicorn")
    secret = "tmw_secret"
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("failed")
        structlog.get_logger("one").exception("failed too")
    assert secret


@pytest.mark.feature("S2-15")
@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_in_production_every_line_is_one_json_object(stream: io.StringIO) -> None:
    configure_logs("ingestion", "production", stream)
    log_something()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["batch taken", "something of uvicorn", "failed", "failed too"]
    assert {line["service"] for line in lines} == {"ingestion"}
    assert [line["level"] for line in lines] == ["info", "warning", "error", "error"]
    assert lines[0]["accepted"] == 3
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert (lines[2]["error"], lines[2]["at"].split(":")[0]) == ("ValueError", "test_logs.py")
    assert "exception" not in lines[2]
    assert lines[3]["exception"][0]["exc_type"] == "ValueError"
    assert "tmw_secret" not in stream.getvalue()


@pytest.mark.feature("S2-15")
def test_in_development_a_terminal_gets_colour() -> None:
    stream = Terminal()
    configure_logs("ingestion", "development", stream)
    log_something()
    assert "\x1b[" in stream.getvalue()
    assert "batch taken" in stream.getvalue()
    assert "tmw_secret" not in stream.getvalue()


def test_in_development_a_file_gets_json() -> None:
    stream = io.StringIO()
    configure_logs("ingestion", "development", stream)
    log_something()
    assert all(json.loads(line) for line in stream.getvalue().splitlines())


def test_what_hostile_requests_cause_is_no_line_each() -> None:
    stream = io.StringIO()
    configure_logs("ingestion", "production", stream)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert stream.getvalue() == ""


def test_a_disk_that_is_full_costs_lines_and_raises_nothing() -> None:
    # Regression: the thread that looks for the broker ended with its line, and the API refused requests until it was restarted.
    with Path("/dev/full").open("w", buffering=1, encoding="utf-8") as full:
        configure_logs("ingestion", "production", full)
        log_something()
        logging.getLogger().handlers.clear()
        with suppress(OSError):
            full.close()
