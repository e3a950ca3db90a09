"""Every answer equals DuckDB's on the same rows in one table.

More than CI's few hundred statements: `KUBEGRID_SQL_EXAMPLES=5000 pytest tests/unit/sql/test_equivalence.py -n 2`.
"""

import os
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.sql.partitioned_tables import PartitionedTables
from tests.unit.sql.random_queries import Queries
from tests.unit.sql.random_statements import catalog_of, rows, tables
from tests.unit.sql.same_answers import Comparison

from kubegrid.sql import plans

EXAMPLES = int(os.environ.get("KUBEGRID_SQL_EXAMPLES", "50"))
STATEMENTS = 8
"""Over the same rows; making these takes longer than a statement."""
RUNS = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KINDS = {plans.SCAN, plans.JOIN, plans.AGGREGATE, plans.GROUPS, plans.TOP_K, plans.DISTINCT, plans.WHOLE}


def compare(seed: int, random: Random, statements: int, comparison: Comparison) -> None:
    """`seed` makes tables and rows, `random` statements over them."""
    data = Random(seed)
    made = tables(data)
    queries = Queries(random, made)
    asked = [queries.query() for _ in range(statements)]
    filled = PartitionedTables(
        catalog_of(made), {table.name: rows(data, table) for table in made}, data.choice((1, 2, 3, 3, 5))
    )
    try:
        for query in asked:
            try:
                comparison.compare(filled, query)
            except Exception as error:
                error.add_note(f"{query.whole}\nover {filled.partitions} partitions, rows of seed {seed}")
                raise
    finally:
        filled.close()


@RUNS
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_answers_equal_those_of_one_table(seed: int, random: Random) -> None:
    compare(seed, random, 1, Comparison())


def test_answers_equal_those_of_one_table_over_many_seeds_and_every_kind_of_plan() -> None:
    comparison = Comparison()
    for seed in range(EXAMPLES):
        compare(seed, Random(seed), STATEMENTS, comparison)
    assert comparison.refused < comparison.statements / 20
    assert comparison.failed <= comparison.statements / 100
    assert comparison.answered > comparison.statements / 2, "most statements find something"
    assert set(comparison.kinds) >= KINDS, comparison.kinds
    assert comparison.narrowed, "some top-ks are asked again by what they found"
    assert comparison.looked_up > comparison.statements / 100, "some find records by their keys"
    assert comparison.merged > comparison.statements / 20, "some need no DuckDB for their end"
