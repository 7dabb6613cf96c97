"""Mapping files: what cannot be used is named with its place."""

from pathlib import Path

import pytest

from ingestion.importers.errors import MappingError
from ingestion.importers.mapping import format_of, load_mapping

GOOD = '[columns]\nuser_id = "u"\ntimestamp = "t"\nevent_type = "k"\n[[rules]]\nfamily = "generic"\n'


def load(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]  # test shorthand
    path = tmp_path / "m.toml"
    path.write_text(text)
    return load_mapping(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not toml [", "m.toml"),
        ('[columns]\nuser_id = "u"\n', "columns.timestamp"),
        (GOOD.replace("generic", "weather"), "rules.0.family"),
        (GOOD + 'typo = "x"\n', "rules.0.typo"),
        (GOOD + 'fields = { content_id = "c" }\n', "belong to engagement"),
        (GOOD.replace("generic", "engagement") + 'fields = { colour = "c" }\n', "colour"),
        (GOOD.replace('event_type = "k"\n', ""), "columns.event_type"),
        (GOOD.replace("generic", "social"), "verbatim"),
        (GOOD + 'verbatim = true\nrename = "x"\n', "verbatim rule changes nothing"),
        ('[[rules]]\nfamily = "generic"\n', "columns may be missing only"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(MappingError, match=told):
        load(tmp_path, text)


def test_comments_and_layout_do_not_make_another_mapping(tmp_path: Path) -> None:
    first = load(tmp_path, GOOD).fingerprint
    assert load(tmp_path, "# a comment\n" + GOOD.replace(" = ", "=")).fingerprint == first
    assert load(tmp_path, GOOD.replace('"u"', '"v"')).fingerprint != first


@pytest.mark.parametrize(
    ("name", "expected"), [("a.csv", "csv"), ("a.CSV.gz", "csv"), ("a.json.gz", "ndjson"), ("a.b.jsonl", "ndjson")]
)
def test_the_format_follows_the_name(tmp_path: Path, name: str, expected: str) -> None:
    assert format_of(Path(name), load(tmp_path, GOOD)) == expected


def test_a_name_that_tells_nothing_needs_a_format(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="format"):
        format_of(Path("data.gz"), load(tmp_path, GOOD))
    assert format_of(Path("data.gz"), load(tmp_path, 'format = "csv"\n' + GOOD)) == "csv"
