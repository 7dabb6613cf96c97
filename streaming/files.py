"""Small text files beside the checkpoints, through Hadoop's file systems: a path and an object store work alike.

Also the lock that keeps a second driver out. Knows nothing about what the files say.
"""

import threading
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j ships no types
from pyspark.sql import SparkSession

# What this process's JVM has locked, by URI.
_held: dict[str, Any] = {}
_guard = threading.Lock()


def resolve_uri(uri: str) -> str:
    """`uri` with a relative path made absolute, so that the JVM and this process mean the same place."""
    return uri.rstrip("/") if "://" in uri else str(Path(uri).absolute())


def is_local(uri: str) -> bool:
    """Whether files can be locked there: a local path, not an object store."""
    return "://" not in uri or uri.startswith("file://")


class Files:
    """Reads, lists and writes by URI."""

    def __init__(self, spark: SparkSession) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._gateway: Any = spark.sparkContext._gateway
        self._configuration = spark.sparkContext._jsc.hadoopConfiguration()

    def exists(self, uri: str) -> bool:
        """Whether there is a file or a folder."""
        path, system = self._open(uri)
        return bool(system.exists(path))

    def read_text(self, uri: str) -> str | None:
        """The text of a file, or None when there is none."""
        path, system = self._open(uri)
        if not system.exists(path):
            return None
        stream = system.open(path)
        try:
            return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def write_text(self, uri: str, text: str) -> None:
        """Replaces the file by way of a temporary one, so that a crash leaves the old or the new."""
        temporary, system = self._open(f"{uri}.tmp")
        stream = system.create(temporary, True)
        try:
            stream.write(bytearray(text, "utf-8"))
        finally:
            stream.close()
        target, _ = self._open(uri)
        rename = getattr(self._jvm.org.apache.hadoop.fs, "Options$Rename")
        options = self._gateway.new_array(rename, 1)
        options[0] = rename.OVERWRITE
        context = self._jvm.org.apache.hadoop.fs.FileContext.getFileContext(target.toUri(), self._configuration)
        context.rename(temporary, target, options)

    def list_names(self, uri: str) -> list[str]:
        """Names in a folder, hidden ones left out; empty when there is no such folder."""
        path, system = self._open(uri)
        if not system.exists(path):
            return []
        names = [str(status.getPath().getName()) for status in system.listStatus(path)]
        return sorted(name for name in names if not name.startswith("."))

    def make_folder(self, uri: str) -> None:
        """Makes a folder and its parents. Idempotent."""
        path, system = self._open(uri)
        system.mkdirs(path)

    def try_lock(self, uri: str) -> Any | None:
        """A lock on a local file that this JVM holds until it ends, or None when another process holds it.

        The JVM holds it, not this process: a JVM that outlives its Python by a second may still commit in that second. None as well when it
        holds the lock already, and without a look at the file: whoever opens and closes it gives up the process's locks on it.
        """
        with _guard:
            if uri in _held:
                return None
            lock = self._lock_file(uri)
            if lock is not None:
                _held[uri] = lock
            return lock

    def _lock_file(self, uri: str) -> Any | None:
        channel = self._jvm.java.io.RandomAccessFile(uri.removeprefix("file://"), "rw").getChannel()
        try:
            lock = channel.tryLock()
        except Py4JJavaError as error:
            if "OverlappingFileLockException" not in str(error.java_exception):
                raise
            lock = None
        if lock is None:
            channel.close()
        return lock

    def unlock(self, lock: Any) -> None:
        """Gives up what try_lock() gave. Idempotent."""
        with _guard:
            lock.acquiredBy().close()
            for uri in [uri for uri, held in _held.items() if held is lock]:
                del _held[uri]

    def _open(self, uri: str) -> tuple[Any, Any]:
        path = self._jvm.org.apache.hadoop.fs.Path(uri)
        return path, path.getFileSystem(self._configuration)
