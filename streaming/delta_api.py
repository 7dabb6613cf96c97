"""Delta's own Scala classes, by way of py4j: what its public Python calls do not offer.

They change from release to release; what this package asks of them has tests that say so at once.
"""

import json
from collections.abc import Iterable
from typing import Any

from pyspark.sql import SparkSession


class DeltaApi:
    """The classes, and how Scala spells what Python has."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        jvm: Any = spark.sparkContext._jvm
        self.jvm = jvm
        self.delta = jvm.org.apache.spark.sql.delta
        self.none = getattr(jvm.scala, "None$").__getattr__("MODULE$")

    def log(self, table_uri: str) -> Any:
        """The log of a table, one per session and table: it remembers the newest state that this driver has seen."""
        return self.delta.DeltaLog.forTable(self._spark._jsparkSession, table_uri)

    def some(self, value: Any) -> Any:
        """An option that holds `value`."""
        return self.jvm.scala.Some(value)

    def seq(self, items: Iterable[Any]) -> Any:
        """A Scala sequence of JVM objects."""
        found = self.jvm.java.util.ArrayList()
        for item in items:
            found.add(item)
        return self.jvm.scala.jdk.javaapi.CollectionConverters.asScala(found).toSeq()

    def action(self, action: dict[str, dict[str, Any]]) -> Any:
        """An action of the log out of JSON, which is Delta's protocol; its Scala constructors are not."""
        return self.delta.actions.Action.fromJson(json.dumps(action))
