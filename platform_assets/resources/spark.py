"""A Spark session for one run, by dagster-pyspark. Its JVM starts with the first use: a run with nothing to do needs none."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.priority import stand_back
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The session of Spark jobs that Dagster launches, with the options of the streaming package. The environment is read when used."""

    @cached_property
    def settings(self) -> StreamingSettings:
        """Master, jars and heap, from the environment."""
        return StreamingSettings().of_compaction()

    @contextmanager
    def session(self, app_name: str) -> Iterator["SparkSession"]:
        """A session that ends with the block. Its run stands back from those that publish."""
        # Not at the top: it imports pyspark, which no look at the definitions needs.
        from dagster_pyspark import LazyPySparkResource

        from streaming.session import spark_options

        stand_back()
        options = {"spark.master": self.settings.master, "spark.app.name": app_name}
        pyspark = LazyPySparkResource(spark_config={**spark_options(self.settings), **options})
        spark: SparkSession = pyspark.spark_session
        try:
            yield spark
        finally:
            spark.stop()
