"""Errors of an import as a whole. Rejected rows are no errors: they are counted by reason and kept.

ImportFailedError
├── MappingError       the mapping file cannot be used as it is
├── UnreadableFileError  the file ends or breaks before its end; what came before is imported
├── UnreachableError   a needed service stayed away; the import goes on from here when started again
└── ImportRunningError the same import runs already
"""


class ImportFailedError(RuntimeError):
    """The import did not reach the end of its file."""


class MappingError(ImportFailedError):
    """The mapping is not usable; the message names the place and what is expected."""


class UnreadableFileError(ImportFailedError):
    """The file cannot be read any further."""


class UnreachableError(ImportFailedError):
    """Broker or database stayed away for longer than the patience. Start the same import again to go on."""


class ImportRunningError(ImportFailedError):
    """Another process is at the same file, mapping and app."""
