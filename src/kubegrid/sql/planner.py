"""From a query to a plan: what the partitions compute, and what is left for the coordinating pod."""

from sqlglot import exp

from kubegrid.base.tables import Catalog
from kubegrid.sql.plans import Plan


def plan(statement: exp.Query, catalog: Catalog, partitions: int) -> Plan:
    """Raises SqlError: UnknownName, NotSupported. `columns` of the plan and its fragments are left empty."""
    raise NotImplementedError
