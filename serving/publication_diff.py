"""Makes the answer to "what differs between these two publications": both are opened, compared, and told in the API's words.

What is compared and how: `storage.publication_diff`. An answer is determined by its publications and by what was asked, so it is kept as
`serving.answers` keeps those of fixed ranges.
"""

from collections.abc import Callable, Sequence
from functools import cache

import duckdb

from serving import results
from serving.answers import Answer, AnswerMaker, identify
from serving.errors import InvalidParameterError, UnavailableError, UnknownPublicationError
from serving.parameters import PublicationDiffParameters
from serving.snapshots import SnapshotPool
from storage.lake import DEFAULT_MANIFEST
from storage.publication_diff import NO_DIFFERENCE, Asked, OpenPublication, PublicationDiff, comparable, diff
from storage.publications import Publication
from storage.tables import TableSpec, TableSpecError, load_table_specs

NAME = "publication-diff"


@cache
def read_specs() -> tuple[TableSpec, ...]:
    """The tables that can be compared, as the installed dbt project declares them. Raises: UnavailableError."""
    try:
        return comparable(load_table_specs(DEFAULT_MANIFEST))
    except (TableSpecError, ValueError) as error:
        raise UnavailableError("The keys of the tables are not known here: `make setup` makes the manifest.") from error


class DiffMaker:
    """Compares publications of the pool. Blocking: call it in a worker thread."""

    def __init__(
        self, pool: SnapshotPool, answers: AnswerMaker, specs: Callable[[], Sequence[TableSpec]] = read_specs
    ) -> None:
        self._pool = pool
        self._answers = answers
        self._specs = specs

    def answer(
        self, old_id: int, new_id: int, wanted: PublicationDiffParameters, app_id: str, if_none_match: str | None = None
    ) -> Answer:
        """What `new_id` holds other than `old_id`, for one app.

        Raises:
            UnknownPublicationError, ExpiredPublicationError: of either publication.
            InvalidParameterError: there is no such table.
        """
        old, new = self._resolve(old_id), self._resolve(new_id)
        asked = self._ask(wanted, app_id)
        # With the tables' columns: they may change while the version does not, and then the answer does.
        identity = (NAME, identify(old), identify(new), repr(asked))
        return self._answers.fixed(identity, lambda: _shape(old, new, self._compare(old, new, asked)), if_none_match)

    def _resolve(self, publication_id: int) -> Publication:
        found = self._pool.resolve(publication_id)
        if found is None:
            raise UnknownPublicationError(f"Publication {publication_id} does not exist: nothing is published yet.")
        return found

    def _ask(self, wanted: PublicationDiffParameters, app_id: str) -> Asked:
        specs = {spec.qualified_name: spec for spec in self._specs()}
        if wanted.table is not None and wanted.table not in specs:
            raise InvalidParameterError("table", f"expected one of {', '.join(specs)}")
        chosen = tuple(spec for name, spec in specs.items() if wanted.table in (None, name))
        return Asked(app_id, chosen, wanted.period, wanted.from_at, wanted.to_at, wanted.limit)

    def _compare(self, old: Publication, new: Publication, asked: Asked) -> PublicationDiff:
        if old.publication_id == new.publication_id:
            return NO_DIFFERENCE

        def work(cursor: duckdb.DuckDBPyConnection, catalogs: Sequence[str]) -> PublicationDiff:
            old_side = OpenPublication(old.publication_id, catalogs[0])
            new_side = OpenPublication(new.publication_id, catalogs[1])
            return diff(cursor, old_side, new_side, asked)

        return self._pool.read((old, new), work)


def _shape(old: Publication, new: Publication, found: PublicationDiff) -> results.PublicationDiffAnswer:
    return results.PublicationDiffAnswer(
        old=results.ComparedPublication(publication=old.publication_id, as_of=old.published_at),
        new=results.ComparedPublication(publication=new.publication_id, as_of=new.published_at),
        causes=dict(found.causes),
        total_differences=len(found.differences),
        has_more_differences=found.has_more_differences,
        differences=[
            results.TableDifference(
                table=item.table,
                period=item.period,
                period_start=item.period_start,
                rows_added=item.added,
                rows_removed=item.removed,
                rows_changed=item.changed,
                measures={
                    name: results.ComparedSum(old=old_sum, new=new_sum)
                    for name, (old_sum, new_sum) in item.measures.items()
                },
            )
            for item in found.differences
        ],
        total_restatements=len(found.restatements),
        has_more_restatements=found.has_more_restatements,
        restatements=[
            results.RestatementEntry(
                publication=row.publication_id,
                cause=row.cause,
                run=row.run_id,
                published_at=row.published_at,
                table=row.table,
                period=row.period,
                period_start=row.period_start,
                measure=row.measure,
                old=row.old_value,
                new=row.new_value,
                rows_added=row.rows_added,
                rows_removed=row.rows_removed,
            )
            for row in found.restatements
        ],
    )
