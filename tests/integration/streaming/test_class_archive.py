"""The class archive of set-up is the one that drivers start with."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local_stack.class_archive import archive_file
from streaming.session import driver_process

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.integration


def test_a_driver_starts_with_the_archive_of_this_environment(spark: "SparkSession") -> None:
    assert archive_file().exists(), "run `make setup`, and see what it says about the class archive"
    # Java takes one that does not fit its class path for none, so that a driver has it mapped only where it is used.
    maps = Path(f"/proc/{driver_process(spark).pid}/maps").read_text()
    assert str(archive_file()) in maps
