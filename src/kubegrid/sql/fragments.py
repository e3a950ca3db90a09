"""The fragments of a plan in the making: named in order, each text once."""

from typing import Any

from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.sql.errors import NotSupported
from kubegrid.sql.plans import Fragment, Threshold
from kubegrid.sql.routing import Reach, looked_up
from kubegrid.sql.sources import Known, table_of


class Fragments:
    def __init__(self, catalog: Catalog, partitions: int) -> None:
        self.catalog = catalog
        self.partitions = partitions
        self.made: list[Fragment] = []

    def add(
        self,
        statement: Any,
        kind: str,
        partitions: frozenset[int] | None,
        own: list[tuple[TableDefinition, Reach]],
        broadcast: list[str],
        threshold: Threshold | None = None,
    ) -> str:
        """The name of the relation that the statement's rows make. `partitions` None: all. `own`: what it reads as own rows."""
        sql = sql_of(statement)
        asked = None if partitions is None or len(partitions) == self.partitions else tuple(sorted(partitions))
        for fragment in self.made:
            if fragment.sql == sql and fragment.partitions == asked:
                return fragment.name
        name = f"__f{len(self.made)}"
        reads = tuple(dict.fromkeys(table.name for table, _ in own))
        whole = tuple(dict.fromkeys(broadcast))
        keys = None if whole else looked_up(own)
        self.made.append(Fragment(name, sql, asked, reads, whole, kind, keys=keys, threshold=threshold))
        return name

    def table(self, node: exp.Table, known: Known | None = None) -> TableDefinition | None:
        return table_of(node, self.catalog, known or {})


def sql_of(statement: Any) -> str:
    """Raises NotSupported for what sqlglot could write in part only; the answer would be another one."""
    try:
        return str(statement.sql("duckdb", comments=False, unsupported_level=ErrorLevel.RAISE))
    except UnsupportedError as error:
        raise NotSupported(f"it cannot be run over the partitions of a grid: {error}") from None
