"""What can go wrong while a file is loaded.

    KubegridError
    ├── FileError (2)          the file is not there, is no file of its kind, or its columns cannot make a table
    ├── SchemaConflict (4)     the table that is there has another schema; nothing was written
    ├── ResumeConflict (4)     the file or the table is not the one whose load was interrupted; nothing was written
    ├── DuplicateError (4)     `--on-duplicate fail` met a record that is there already
    ├── BadRowError (1)        `--on-error fail` met a row that does not fit the table
    └── LoadStopped (1)        the grid refused a batch or stayed away for too long

The last three leave what was written before them in the table; `loading` says how far that is.
"""

from kubegrid.base.errors import KubegridError, RefusedError, UsageError


class FileError(UsageError):
    pass


class SchemaConflict(RefusedError):
    pass


class ResumeConflict(RefusedError):
    pass


class DuplicateError(RefusedError):
    pass


class BadRowError(KubegridError):
    pass


class LoadStopped(KubegridError):
    pass
