"""What was released stays as it was: the shapes of today against their frozen texts."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from ingestion.contracts.compatibility import Level, is_compatible
from ingestion.contracts.formats import json_schema
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.releases import (
    CHECKSUMS,
    FOLDER,
    BreakingChangeError,
    Release,
    checksum_line,
    essence,
    next_release,
    read_releases,
)
from scripts import release_contract

RELEASES = read_releases()


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_shape_of_today_is_the_newest_revision(name: str) -> None:
    schema = json_schema.document(CONTRACTS[name])
    next_release(name, schema, RELEASES.get(name, []))  # a breaking change raises here and says what breaks
    assert RELEASES[name][-1].schema.keys() == schema.keys()
    assert essence(RELEASES[name][-1].schema) == essence(schema), f"run `python -m scripts.release_contract {name}`"


@pytest.mark.parametrize("name", RELEASES)
def test_all_revisions_of_a_version_can_read_each_other(name: str) -> None:
    assert name in CONTRACTS, "records of it may be in bronze: retire a version, do not remove it"
    revisions = RELEASES[name]
    assert [item.revision for item in revisions] == list(range(1, len(revisions) + 1))
    for position, release in enumerate(revisions):
        assert is_compatible(Level.FULL_TRANSITIVE, release.schema, [item.schema for item in revisions[:position]])


def test_frozen_files_are_as_they_were_frozen() -> None:
    lines = (FOLDER / CHECKSUMS).read_text().splitlines(keepends=True)
    assert sorted(lines) == sorted(checksum_line(path) for path in FOLDER.glob("*.json"))


def engagement(**changes: Any) -> dict[str, Any]:
    schema = copy.deepcopy(json_schema.document(CONTRACTS["engagement/1"]))
    schema["$defs"]["EngagementEvent"]["properties"].update(changes)
    return schema


def test_an_optional_field_more_is_a_revision() -> None:
    found = next_release("engagement/1", engagement(language={"type": "string"}), RELEASES["engagement/1"])
    assert found is not None
    assert (found.file_name, found.revision) == ("engagement-1-r2.schema.json", 2)


def test_better_words_are_none() -> None:
    described = engagement()
    described["$defs"]["EngagementEvent"]["properties"]["platform"]["description"] = "Where."
    assert next_release("engagement/1", described, RELEASES["engagement/1"]) is None
    # A field may be called `title` or `description`: that is no explanation.
    assert next_release("engagement/1", engagement(title={"type": "string"}), RELEASES["engagement/1"]) is not None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"platform": {"enum": ["web", "ios", "android"]}}, "platform refused: mobile_web"),
        ({"platform": {"enum": ["web", "ios", "android", "mobile_web", "tv"]}}, "platform refused: tv"),
        ({"content_id": {"type": "string", "maxLength": 100, "default": None}}, "content_id null is refused"),
    ],
)
def test_what_others_could_not_live_with_needs_a_new_version(change: dict[str, Any], where: str) -> None:
    with pytest.raises(BreakingChangeError, match=f"{where}.*Give the shape a new version"):
        next_release("engagement/1", engagement(**change), RELEASES["engagement/1"])


def test_small_steps_do_not_add_up_to_a_breaking_one() -> None:
    released = RELEASES["engagement/1"]
    second = Release("engagement/1", 2, engagement(extra={"type": "string"}))
    third = Release("engagement/1", 3, engagement())
    with pytest.raises(BreakingChangeError, match="extra"):
        next_release("engagement/1", engagement(extra={"type": "integer"}), [*released, second, third])


def test_releasing_writes_once_and_appends_the_checksum(tmp_path: Path) -> None:
    folder = tmp_path / "released"
    shutil.copytree(FOLDER, folder)
    assert release_contract.main([], folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in FOLDER.iterdir())
    for path in folder.iterdir():
        path.unlink()
    assert release_contract.main(["generic/1"], folder) == 0
    assert (folder / CHECKSUMS).read_text() == checksum_line(folder / "generic-1-r1.schema.json")
    assert release_contract.main(["weather/1"], folder) == 2
