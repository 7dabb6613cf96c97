"""A finding keeps a bounded, stable sample and an exact number."""

import pytest

from storage.verification.report import MAX_OFFENDING, Check, Finding, Report

pytestmark = pytest.mark.feature("K10")


def test_the_smallest_ids_are_kept_and_all_are_counted() -> None:
    finding = Finding("n", "I1", "good")
    finding.add(f"{number:03}" for number in reversed(range(50)))
    finding.add(["a"], count=1000)
    check = finding.check()
    assert not check.ok
    assert check.offending == tuple(f"{number:03}" for number in range(MAX_OFFENDING))
    assert check.detail == "1050 offences"


def test_notes_do_not_make_a_check_fail() -> None:
    finding = Finding("n", "I1", "good")
    finding.note("by the way")
    assert finding.check() == Check("n", "I1", True, "good; by the way")


def test_a_report_is_ok_only_when_every_check_is() -> None:
    good, bad = Check("a", "I1", True, ""), Check("b", "I2", False, "1 offence", ("x",))
    assert Report((good,), {}).ok
    report = Report((good, bad), {"landed": 1})
    assert report.failed == (bad,)
    assert report.as_dict() == {
        "ok": False,
        "checks": [
            {"name": "a", "invariant": "I1", "ok": True, "detail": "", "offending": []},
            {"name": "b", "invariant": "I2", "ok": False, "detail": "1 offence", "offending": ["x"]},
        ],
        "counts": {"landed": 1},
    }
