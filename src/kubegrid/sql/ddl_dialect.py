"""DuckDB's SQL as users write it, as a dialect of sqlglot's: with the clauses of CREATE TABLE that a grid has beyond it.

    CREATE TABLE trades (desk VARCHAR, id BIGINT, price DECIMAL(18,4), at TIMESTAMP,
                         PRIMARY KEY (desk, id), INDEX HASH (id), INDEX ORDERED (price, at))
    PARTITION BY (desk) BROADCAST TTL '90 days'

`PARTITION BY` is read by sqlglot itself. `INDEX` becomes an IndexColumnConstraint whose `index_type` is the kind, and the
two others become plain properties. None of the words is reserved: a column may be called `index` or `ttl`.
Next: `ddl`, which makes definitions of what is read here.
"""

import re
from itertools import pairwise
from typing import Any, ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.duckdb import DuckDB

from kubegrid.sql import as_written

BROADCAST = "BROADCAST"
TTL = "TTL"
INDEX_KINDS = {"HASH": "hash", "ORDERED": "ordered", "BTREE": "ordered"}
"""How the kinds may be spelt. B-trees are what others call an index that knows an order."""
_TYPES_WITH_SIZES = frozenset(("DECIMAL", "NUMERIC", "DEC", "VARCHAR", "CHAR", "BPCHAR", "TEXT", "STRING", "ENUM"))
"""`index DECIMAL(18,2)` declares a column of the name index."""

_HAS_UNITS = re.compile("[A-Za-z]")
_ONE_UNIT = re.compile(r"\s*-?[0-9]+(\.[0-9]+)?\s*[A-Za-z]+\s*")
PARAMETER_STARTS = tuple(f"${digit}" for digit in "0123456789")
"""Words of their own, or `$1,$2` would be the start of a text in dollars."""
PARAMETER_START = TokenType.SESSION_PARAMETER
"""Their kind. Behind one of TokenType.PARAMETER the tokenizer takes every word for a name, as AND in `$1 AND`."""
INDEX_OFFSET = DuckDB.INDEX_OFFSET
"""Of what is read here: that of the dialect that writes it, which so adds nothing."""
_BINDING = ("on", "using", "method", "side", "kind")
"""Of a join: one that has any of them goes before commas."""


def _index(parser: Any) -> exp.IndexColumnConstraint | None:
    """After the word INDEX: `[USING] [kind] (column, …) [USING kind]`; None if it was a column's name."""
    name = kind = None
    parser._match_text_seq("USING")
    if parser._match_texts(INDEX_KINDS):
        kind = parser._prev.text
    elif not parser._match(TokenType.L_PAREN, advance=False):
        name = parser._parse_id_var()
        if name is None:
            return None
    if not parser._match(TokenType.L_PAREN, advance=False):
        return None
    if name is not None and name.name.upper() in _TYPES_WITH_SIZES:
        return None
    columns = parser._parse_wrapped_csv(parser._parse_id_var)
    if parser._match_text_seq("USING"):
        if not parser._match_texts(INDEX_KINDS):
            parser.raise_error(f"an index is {' or '.join(sorted(INDEX_KINDS))}")
        kind = parser._prev.text
    made: exp.IndexColumnConstraint = parser.expression(
        exp.IndexColumnConstraint(
            this=name, expressions=columns, index_type=kind and exp.var(INDEX_KINDS[kind.upper()])
        )
    )
    return made


def _ttl(parser: Any) -> exp.Property | None:
    parser._match(TokenType.EQ)
    value = parser._parse_unary()
    if value is None:
        parser.raise_error("after TTL comes a time, such as '90 days'")
    return parser.expression(exp.Property(this=exp.var(TTL), value=value))  # type: ignore[no-any-return]


def _broadcast(parser: Any) -> exp.Property:
    value = parser._parse_boolean() if parser._match(TokenType.EQ) else exp.true()
    return parser.expression(exp.Property(this=exp.var(BROADCAST), value=value or exp.true()))  # type: ignore[no-any-return]


def _plus(parser: Any) -> Any:
    """sqlglot drops the sign, but `GROUP BY +1` is by a number and `GROUP BY 1` by the first column."""
    operand = parser._parse_unary()
    positive = operand.this if isinstance(operand, exp.Neg) else operand
    is_number = isinstance(positive, exp.Literal) and not positive.is_string
    return exp.Anonymous(this="add", expressions=[operand]) if is_number else operand


class GridSql(DuckDB):
    """What users write. The SQL that partitions and the final statement run is DuckDB's own."""

    INDEX_OFFSET = 0
    """`list[1]` stays as it is. sqlglot would count from 0 where it takes the list and the number for such, and back where
    it writes; but a parameter is not taken for a number before it has its value."""

    def to_json_path(self, path: Any) -> Any:
        """As it was written: sqlglot knows some of DuckDB's paths only, not `$..name`."""
        return path

    class Tokenizer(DuckDB.Tokenizer):
        KEYWORDS: ClassVar[dict[str, Any]] = {
            **DuckDB.Tokenizer.KEYWORDS,
            **dict.fromkeys(PARAMETER_STARTS, PARAMETER_START),
        }

    class Parser(DuckDB.Parser):  # type: ignore[misc, valid-type]
        FUNCTIONS: ClassVar[dict[str, Any]] = as_written.FUNCTIONS
        TYPE_LITERAL_PARSERS: ClassVar[dict[Any, Any]] = {}
        """JSON '…' is a text as it stands, which json('…') is not."""
        UNARY_PARSERS: ClassVar[dict[Any, Any]] = {**DuckDB.Parser.UNARY_PARSERS, TokenType.PLUS: _plus}
        LAMBDAS: ClassVar[dict[Any, Any]] = {
            kind: read for kind, read in DuckDB.Parser.LAMBDAS.items() if kind is not TokenType.ARROW
        }
        """In DuckDB 2 `->` takes a part of a JSON and nothing else."""
        PROPERTY_PARSERS: ClassVar[dict[str, Any]] = {
            **DuckDB.Parser.PROPERTY_PARSERS,
            BROADCAST: _broadcast,
            TTL: _ttl,
        }
        CONSTRAINT_PARSERS: ClassVar[dict[str, Any]] = {**DuckDB.Parser.CONSTRAINT_PARSERS, "INDEX": _index}
        SCHEMA_UNNAMED_CONSTRAINTS: ClassVar[set[str]] = {*DuckDB.Parser.SCHEMA_UNNAMED_CONSTRAINTS, "INDEX"}

        def _parse_interval_span(self, this: Any, parse_function_unit: bool = True) -> Any:
            """Of '3 days 04:05:06' and '3 days ago' sqlglot would keep '3' DAYS."""
            if (
                this is not None
                and this.is_string
                and _HAS_UNITS.search(this.name)
                and not _ONE_UNIT.fullmatch(this.name)
            ):
                return self.expression(exp.Interval(this=this))
            return super()._parse_interval_span(this, parse_function_unit)

        def _parse_bracket(self, this: Any = None) -> Any:
            """Each `[…]` is read by a call of its own, which is given what stands before it."""
            if isinstance(this, exp.Bracket):
                this.set("offset", INDEX_OFFSET)
            return super()._parse_bracket(this)

        def _parse_types(self, *args: Any, **options: Any) -> Any:
            """DuckDB has no types in angle brackets: what stands before `<` is a column, be it called range or list."""
            named = self._curr is not None and self._curr.token_type in self.NESTED_TYPE_TOKENS
            if named and self._next is not None and self._next.token_type is TokenType.LT:
                return None
            return super()._parse_types(*args, **options)

        def _parse_table(self, *args: Any, joins: bool = False, **options: Any) -> Any:
            """With the joins behind VALUES and unnest() in UPDATE … FROM and DELETE … USING, which sqlglot leaves there."""
            table = super()._parse_table(*args, joins=joins, **options)
            if joins and isinstance(table, exp.Values | exp.Unnest | exp.Lateral):
                for join in self._parse_joins():
                    table.append("joins", join)
            return table

        def _parse_insert_table(self) -> Any:
            """BY POSITION says what is so without it."""
            table = super()._parse_insert_table()
            return self._parse_schema(this=table) if self._match_text_seq("BY", "POSITION") else table

        def _parse_range(self, *args: Any, **options: Any) -> Any:
            """`x IN (…)::T` casts what IN answers, its NOT included; sqlglot expects no cast there."""
            this = super()._parse_range(*args, **options)
            if isinstance(this.this if isinstance(this, exp.Not) else this, exp.In):
                while self._match(TokenType.DCOLON):
                    this = self.expression(exp.Cast(this=exp.Paren(this=this), to=self._parse_types()))
            return this

        def _parse_term(self, parse_mod: bool = True) -> Any:
            """The count of LIMIT, for which sqlglot does not go beyond a `%`, is any expression: a `%` that ends it came as
            PERCENT (`statement_tokens`)."""
            return super()._parse_term() if parse_mod else self._parse_disjunction()

        def _parse_query_modifiers(self, this: Any) -> Any:
            """`(unnest(x) v JOIN b ON …)` as a query of it that is joined: sqlglot expects the parenthesis behind `v`."""
            if isinstance(this, exp.Unnest):
                alias = this.args.get("alias")
                this = exp.Subquery(this=exp.select("*").from_(this), alias=alias and alias.copy())
            return super()._parse_query_modifiers(this)

        def _parse_escape(self, this: Any) -> Any:
            """Behind ESCAPE sqlglot reads a text and nothing that is computed."""
            if not self._match(TokenType.ESCAPE):
                return this
            return self.expression(exp.Escape(this=this, expression=self._parse_bitwise()))

        def _parse_limit(self, *args: Any, **options: Any) -> Any:
            """`LIMIT (SELECT 5) %` as a remainder without a divisor: PERCENT, which sqlglot writes, DuckDB knows of numbers."""
            limit = super()._parse_limit(*args, **options)
            kind = limit.args.get("limit_options") if isinstance(limit, exp.Limit) else None
            if kind is not None and kind.args.get("percent") and not isinstance(limit.expression, exp.Literal):
                limit.set("limit_options", None)
                limit.set("expression", exp.Mod(this=limit.expression, expression=exp.Var(this="")))
            return limit

        def _warn_unsupported(self) -> None:
            """Whoever asked is told by an error; the pod's log is no place for it."""


DIALECT = GridSql()


def keep_joins(select: exp.Select) -> None:
    """Of `FROM unnest(x) v, b SELECT …` the joins hang at what they begin with, and sqlglot would not write them there."""
    first = select.args.get("from_")
    if first is not None and isinstance(first.this, exp.Values | exp.Unnest | exp.Lateral):
        joins = first.this.args.get("joins") or []
        first.this.set("joins", None)
        select.set("joins", [*joins, *(select.args.get("joins") or [])])


def keep_commas(select: exp.Select) -> None:
    """Of `a, unnest(x) v RIGHT JOIN b` sqlglot would write `a JOIN UNNEST(x) AS v ON TRUE RIGHT JOIN b`, which first joins
    what the comma joins last. It leaves LATERAL where it is, and that is the same."""
    joins = select.args.get("joins") or []
    for join, following in pairwise(joins):
        listed = not any(value for name, value in join.args.items() if name != "this")
        if listed and isinstance(join.this, exp.Unnest) and any(following.args.get(name) for name in _BINDING):
            unnest: Any = join.this
            alias = unnest.args.get("alias")
            unnest.set("alias", None)
            join.set("this", exp.Lateral(this=unnest, alias=alias))


def keep_values(tree: Any) -> None:
    """Of `FROM ((VALUES (1)) v(a) JOIN b ON …)` sqlglot makes the list a table, and not a query as anywhere else."""
    for table in list(tree.find_all(exp.Table)):
        if isinstance(table.this, exp.Values):
            table.replace(exp.Subquery(**table.args))


def keep_nulls(tree: Any) -> None:
    """Of `last(x IGNORE NULLS) OVER …` sqlglot would write `LAST(x) OVER …`; of last_value(), which is the same, it keeps all."""
    for ignoring in tree.find_all(exp.IgnoreNulls, exp.RespectNulls):
        function: Any = ignoring.this
        if isinstance(function, exp.First | exp.Last):
            whole = exp.FirstValue if isinstance(function, exp.First) else exp.LastValue
            ignoring.set("this", whole(this=function.this))
