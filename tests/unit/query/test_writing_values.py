"""What a SELECT gave, on its way into a table's rows: a value that a column has no form for is refused with its row."""

from typing import Any

import pyarrow as pa
import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.query.writing_rows import MANY_ROWS, encoded_table
from kubegrid.query.writing_values import row_number
from kubegrid.sql.errors import TypeProblem

TIMES = parse_definition(
    "times",
    {"columns": [{"name": "id", "type": "INTEGER"}, {"name": "at", "type": "TIME"}], "key": ["id"]},
)
KEYED = parse_definition("keyed", {"columns": [{"name": "at", "type": "TIME"}], "key": ["at"]})
LAST_US = 24 * 3600 * 1_000_000 - 1


def rows(count: int, last_us: int) -> Any:
    times = [number * 1000 for number in range(count - 1)] + [last_us]
    return pa.table({"id": pa.array(range(count), pa.int32()), "at": pa.array(times, pa.time64("us"))})


@pytest.mark.parametrize("count", [1, MANY_ROWS])
def test_midnight_at_the_end_of_a_day_is_refused_and_not_taken_for_its_beginning(count: int) -> None:
    encoded_table(TIMES, rows(count, LAST_US), ["id", "at"], row_number)
    message = f"row {count}, column at of table times: 24:00:00 is no TIME here"
    with pytest.raises(TypeProblem, match=message):
        encoded_table(TIMES, rows(count, LAST_US + 1), ["id", "at"], row_number)
    with pytest.raises(TypeProblem, match="24:00:00 is no TIME here"):
        encoded_table(KEYED, rows(count, LAST_US + 1).select(["at"]), ["at"], row_number)
