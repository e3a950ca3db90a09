"""How each aggregate is computed in parts: what a partition yields, and what makes the whole of the parts.

Exact wherever DuckDB is: counts are added, sums added in the type that DuckDB sums in, a mean is a sum and a count.
Variances are merged from count, mean and M2 (the sum of squared distances from the mean) of each part, after
T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
(1979), because a sum of squares less a square of sums loses every digit when the mean is large.

What is not here does not decompose (median, mode, lists, text joined in an order) and is computed from gathered rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from kubegrid.sql.functions import runs_per_row
from kubegrid.sql.numeric import Tables, is_number
from kubegrid.sql.pushable import NotPushable

_BIGINT = exp.DataType.build("BIGINT")
_DOUBLE = exp.DataType.build("DOUBLE")

_SAME: dict[type[Any], str] = {
    exp.Min: "min",
    exp.Max: "max",
    exp.LogicalAnd: "bool_and",
    exp.LogicalOr: "bool_or",
    exp.BitwiseAndAgg: "bit_and",
    exp.BitwiseOrAgg: "bit_or",
    exp.BitwiseXorAgg: "bit_xor",
    exp.AnyValue: "any_value",
}
"""Those that are merged by themselves."""
_SQUARES: dict[type[Any], tuple[bool, bool]] = {
    exp.Stddev: (True, True),
    exp.StddevSamp: (True, True),
    exp.StddevPop: (False, True),
    exp.Variance: (True, False),
    exp.VariancePop: (False, False),
}
"""Whether of a sample (divided by n-1, not n), and whether its root is taken."""


@dataclass(slots=True)
class Parts:
    """The columns that partitions yield for the aggregates of one statement, each expression once."""

    tables: Tables
    expressions: list[Any] = field(default_factory=list)
    distinct: list[Any] = field(default_factory=list)
    """What partitions group by beside the keys, so that every value comes at least once and is counted once."""
    means: list[tuple[str, str]] = field(default_factory=list)
    """Of the parts of variances: the columns of count and mean whose mean over all parts is needed."""
    local: Callable[[Any], bool] = lambda expression: False
    """Whether equal values of an expression are all in one partition."""
    counted: bool = False
    """Counts of distinct values that are all in one partition are added up: then partitions may group by no others."""

    def column(self, expression: Any) -> Any:
        """The relation's column for a partial aggregate."""
        if expression not in self.expressions:
            self.expressions.append(expression)
        return _column(f"__a{self.expressions.index(expression)}")

    def merged(self, node: Any) -> Any:
        """The expression over the partitions' columns that is `node` over all rows. Raises NotPushable."""
        condition = None
        if isinstance(node, exp.Filter):
            condition, node = node.expression.this, node.this
        if isinstance(node, exp.IgnoreNulls) and isinstance(node.this, exp.AnyValue):
            node = node.this
        if not isinstance(node, exp.Func):
            raise NotPushable("an aggregate over an order")
        for value in (*_arguments(node), condition):
            if value is not None and not runs_per_row(value):
                raise NotPushable(f"{node.sql_name().lower()} of more than values of a row")
        if isinstance(node.this, exp.Distinct):
            return self._distinct(node, condition)
        return self._plain(node, condition)

    def _plain(self, node: Any, condition: Any) -> Any:
        def part(made: Any) -> Any:
            return self.column(
                exp.Filter(this=made, expression=exp.Where(this=condition.copy())) if condition else made
            )

        if any(value for name, value in node.args.items() if name not in ("this", "big_int")):
            raise NotPushable(f"{node.sql_name().lower()} with more than one argument")
        kind = type(node)
        argument = node.this
        if kind is exp.Count:
            return _whole_count(part(node.copy()))
        if argument is None:
            raise NotPushable("an aggregate of nothing")
        if kind in (exp.Sum, exp.CountIf):  # the latter is, in DuckDB, a sum of truths, and NULL over none
            return exp.Sum(this=part(node.copy()))
        if kind in _SAME:
            return exp.Anonymous(this=_SAME[kind], expressions=[part(node.copy())])
        if not is_number(argument, self.tables):
            raise NotPushable(f"{node.sql_name().lower()} of what may be no number")
        counted = exp.Count(this=argument.copy(), big_int=True)
        if kind is exp.Avg:
            total = exp.Sum(this=part(exp.Sum(this=argument.copy())))
            return exp.Paren(this=exp.Div(this=_double(total), expression=exp.Sum(this=part(counted))))
        if kind in _SQUARES:
            return self._squares(*_SQUARES[kind], argument, part)
        raise NotPushable(f"{node.sql_name().lower()} has no parts")

    def _squares(self, sample: bool, root: bool, argument: Any, part: Callable[[Any], Any]) -> Any:
        value = _double(argument.copy())
        count = part(exp.Count(this=argument.copy(), big_int=True))
        mean = part(exp.Avg(this=value.copy()))
        spread = part(exp.VariancePop(this=value.copy()))
        if (count.name, mean.name) not in self.means:
            self.means.append((count.name, mean.name))
        middle = _column(f"__m{self.means.index((count.name, mean.name))}")
        distance = exp.Paren(this=exp.Sub(this=mean.copy(), expression=middle))
        squares = exp.Sum(
            this=exp.Mul(
                this=count.copy(),
                expression=exp.Paren(
                    this=exp.Add(this=spread, expression=exp.Mul(this=distance, expression=distance.copy()))
                ),
            )
        )
        rows: Any = exp.Sum(this=count.copy())
        if sample:
            rows = exp.Paren(this=exp.Sub(this=rows, expression=exp.Literal.number(1)))
        found: Any = exp.Div(this=squares, expression=rows)
        found = exp.Sqrt(this=found) if root else found
        enough = exp.GT(this=exp.Sum(this=count.copy()), expression=exp.Literal.number(1))
        cases = [exp.If(this=enough, true=found)]
        if not sample:  # of one value it is 0, be that NaN or infinite
            one = exp.EQ(this=exp.Sum(this=count.copy()), expression=exp.Literal.number(1))
            cases.append(exp.If(this=one, true=_double(exp.Literal.number(0))))
        return exp.Case(ifs=cases)

    def _distinct(self, node: Any, condition: Any) -> Any:
        values = node.this.expressions
        kind = type(node)
        if len(values) != 1 or node.this.args.get("on") or kind not in (exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg):
            raise NotPushable(f"{node.sql_name().lower()}(DISTINCT …) of this form")
        value = values[0]
        if kind in (exp.Min, exp.Max):
            return self._plain(kind(this=value.copy()), condition)
        if kind is exp.Avg and not is_number(value, self.tables):
            raise NotPushable("avg of what may be no number")
        if kind is exp.Count and self.local(value):
            # No value is in two partitions: their counts add up.
            self.counted = True
            made: Any = node.copy()
            if condition is not None:
                made = exp.Filter(this=made, expression=exp.Where(this=condition.copy()))
            return _whole_count(self.column(made))
        if condition is not None:
            value = exp.Case(ifs=[exp.If(this=condition.copy(), true=value.copy())])
        if self.distinct and value not in self.distinct:
            raise NotPushable("several columns counted by their distinct values")
        self.distinct = [value]
        return kind(
            this=exp.Distinct(expressions=[_column("__d0")]), **({"big_int": True} if kind is exp.Count else {})
        )


def _arguments(node: Any) -> list[Any]:
    """What an aggregate is of, `*` and DISTINCT taken off."""
    this = node.this
    if isinstance(this, exp.Distinct):
        return list(this.expressions)
    found = [] if this is None or isinstance(this, exp.Star | str) else [this]
    for name, value in node.args.items():
        if name != "this":
            found += [
                each for each in (value if isinstance(value, list) else [value]) if isinstance(each, exp.Expression)
            ]
    return found


def _whole_count(part: Any) -> Any:
    """The sum of counts; of no parts at all it is 0, as the count of no rows is."""
    total = exp.Coalesce(this=exp.Sum(this=part), expressions=[exp.Literal.number(0)])
    return exp.Cast(this=total, to=_BIGINT.copy())


def _double(value: Any) -> Any:
    return exp.Cast(this=value, to=_DOUBLE.copy())


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)
