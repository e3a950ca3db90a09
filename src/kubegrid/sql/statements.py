"""From text to a statement: which kind it is, and sqlglot's tree of it where it has a query in it.

The text is cut into tokens first, because only these have bounds that hold: their number and nesting are checked before
a parser that recurses sees them. What nobody from outside may do here (files, network, settings) is refused by its
first word. What the words mean is not checked: names and types are bound by DuckDB (`query`). Next: `parameters`, which
puts values in, and `planner`; definitions of tables are read in `ddl`.
"""

from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import Token, TokenType, exp

from kubegrid.base.nearest import nearest
from kubegrid.base.table_errors import shown
from kubegrid.sql.ddl_dialect import DIALECT, keep_commas, keep_joins, keep_nulls, keep_values
from kubegrid.sql.errors import NotSupported, SqlError, SyntaxProblem, TooMuch
from kubegrid.sql.statement_tokens import (
    CLOSE,
    DEPTH_MAX,
    OPEN,
    STATEMENT_BYTES_MAX,
    TOKENS_MAX,
    not_sql,
    problem,
    tokens_of,
)

QUERY, INSERT, UPDATE, DELETE = "query", "insert", "update", "delete"
CREATE, CTAS, ALTER, DROP, TRUNCATE = "create", "ctas", "alter", "drop", "truncate"
SHOW, DESCRIBE, EXPLAIN = "show", "describe", "explain"

_KINDS = {
    **dict.fromkeys(("SELECT", "WITH", "FROM", "VALUES", "("), QUERY),
    **{word.upper(): word for word in (INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, TRUNCATE, SHOW, EXPLAIN)},
    "DESCRIBE": DESCRIBE,
    "DESC": DESCRIBE,
}
_PARSED = (QUERY, INSERT, UPDATE, DELETE)
_REFUSED = {
    **dict.fromkeys(("ATTACH", "DETACH", "COPY", "EXPORT", "IMPORT"), "statements read and write no files here"),
    **dict.fromkeys(("INSTALL", "LOAD", "FORCE", "UPDATE EXTENSIONS"), "a grid loads no extensions for a statement"),
    **dict.fromkeys(
        ("SET", "RESET", "PRAGMA", "CALL", "USE", "CHECKPOINT", "VACUUM"), "DuckDB's settings are the grid's"
    ),
    **dict.fromkeys(("BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT"), "every statement stands for itself"),
    **dict.fromkeys(("PREPARE", "EXECUTE", "DEALLOCATE"), "give the values with the statement, for ? or $1 in it"),
    **dict.fromkeys(("PIVOT", "UNPIVOT", "SUMMARIZE"), "it is a SELECT in short; write that SELECT"),
    **dict.fromkeys(("MERGE", "REPLACE"), "use INSERT … ON CONFLICT"),
    **dict.fromkeys(("COMMENT", "GRANT", "REVOKE", "ANALYZE", "KILL"), "there is no such statement here"),
}
_REMEDIES = {
    "COPY": "kubegrid load reads files into tables, and kubegrid sql --output writes an answer to a file.",
    "PIVOT": "count(*) FILTER (WHERE …) for each column does what PIVOT does.",
}
_QUERY_STARTS = ("SELECT", "WITH", "FROM", "VALUES", "(")
_WRITING = (exp.DML, exp.DDL, exp.Command)
"""What DuckDB takes in WITH, too, and a query would leave undone."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Immutable, also the tree: who changes it, copies it first."""

    kind: str
    text: str
    """As it was given; the places of tokens count in it."""
    tokens: tuple[Token, ...]
    expression: Any = None
    """Of a query, INSERT, UPDATE and DELETE: its tree (exp.Query, exp.Insert …). Of CREATE TABLE … AS: that of the
    query. Else None."""
    parameters: int = 0
    """How many values it needs."""
    explained: "Statement | None" = None
    """Of EXPLAIN, and of DESCRIBE of a query."""
    analyze: bool = False
    """EXPLAIN ANALYZE: the explained statement is run."""


def parse(text: str, *, bytes_max: int = STATEMENT_BYTES_MAX, depth_max: int = DEPTH_MAX) -> Statement:
    """Raises SyntaxProblem, NotSupported, TooMuch."""
    tokens = tokens_of(text, bytes_max, depth_max)
    try:
        return _statement(tokens, text)
    except RecursionError:
        raise TooMuch("the statement is nested too deep", remedy="Write parts of it as CTEs (WITH …).") from None


def parse_query(tokens: list[Token], text: str) -> exp.Query:
    """The tree of the query that these tokens, a part of those of `text`, are. Raises SyntaxProblem."""
    tree = _tree(tokens, text)
    if not isinstance(tree, exp.Query) or isinstance(tree, exp.Table):
        raise problem(SyntaxProblem, "a query is expected here", text, tokens[0].start)
    return tree


def _statement(tokens: list[Token], text: str) -> Statement:
    word = tokens[0].text.upper()
    kind = _KINDS.get(word)
    if kind is None:
        raise _no_statement(tokens[0], text)
    if kind == EXPLAIN:
        return _explained(tokens, text)
    if kind == CREATE:
        at = _query_of_create(tokens)
        if at is None:
            return Statement(CREATE, text, tuple(tokens))
        query = parse_query(tokens[at:], text)
        return Statement(CTAS, text, tuple(tokens), query, _parameters(query))
    if kind == DESCRIBE and len(tokens) > 1 and tokens[1].text.upper() in _QUERY_STARTS:
        inner = _statement(tokens[1:], text)
        if inner.kind != QUERY:
            raise problem(NotSupported, "DESCRIBE is for tables and queries", text, tokens[1].start)
        return Statement(DESCRIBE, text, tuple(tokens), None, inner.parameters, inner)
    if kind not in _PARSED:
        return Statement(kind, text, tuple(tokens))
    tree = _tree(tokens, text)
    kinds = {exp.Insert: INSERT, exp.Update: UPDATE, exp.Delete: DELETE}
    found = QUERY if isinstance(tree, exp.Query) else kinds.get(type(tree))
    if found is None:
        raise problem(NotSupported, f"{word} … is no statement that can be run here", text, tokens[0].start)
    return Statement(found, text, tuple(tokens), tree, _parameters(tree))


def _explained(tokens: list[Token], text: str) -> Statement:
    analyze = len(tokens) > 1 and tokens[1].text.upper() == "ANALYZE"
    rest = tokens[2:] if analyze else tokens[1:]
    if not rest:
        raise problem(SyntaxProblem, "EXPLAIN what?", text, len(text))
    if rest[0].token_type is TokenType.L_PAREN and len(rest) > 1 and rest[1].text.upper() in ("FORMAT", "ANALYZE"):
        raise problem(NotSupported, "EXPLAIN takes no options here, only ANALYZE", text, rest[0].start)
    inner = _statement(rest, text)
    return Statement(EXPLAIN, text, tuple(tokens), None, inner.parameters, inner, analyze)


def _query_of_create(tokens: list[Token]) -> int | None:
    """Where the query of CREATE TABLE … AS begins."""
    if "TABLE" not in [token.text.upper() for token in tokens[1:5]]:
        return None
    depth = 0
    for place, token in enumerate(tokens[:-1]):
        if token.token_type in OPEN:
            depth += 1
        elif token.token_type in CLOSE:
            depth -= 1
        elif depth == 0 and token.token_type is TokenType.ALIAS and tokens[place + 1].text.upper() in _QUERY_STARTS:
            return place + 1
    return None


def _no_statement(token: Token, text: str) -> SqlError:
    word = token.text.upper()
    if token.token_type is not TokenType.STRING and word in _REFUSED:
        remedy = _REMEDIES.get(word, "")
        return problem(NotSupported, f"{word} is not supported: {_REFUSED[word]}", text, token.start, remedy)
    near = nearest(word, _KINDS)
    guess = f"did you mean {near}?" if near else "it begins with SELECT, INSERT, UPDATE, DELETE, CREATE, SHOW …"
    return problem(SyntaxProblem, f"no statement begins with {shown(token.text)}; {guess}", text, token.start)


def _tree(tokens: list[Token], text: str) -> Any:
    try:
        trees = DIALECT.parser().parse(tokens, text)
    except sqlglot.errors.ParseError as error:
        raise not_sql(error, text) from None
    except RecursionError:
        raise
    except Exception as error:  # sqlglot's own mistakes over some texts
        raise SyntaxProblem(f"the statement is not understood ({type(error).__name__})") from error
    if len(trees) != 1 or trees[0] is None:
        raise problem(SyntaxProblem, "there is no statement here", text, tokens[0].start)
    for writing in trees[0].find_all(*_WRITING):
        if writing is not trees[0]:
            raise NotSupported(
                f"{writing.key.upper()} cannot stand inside of a statement", remedy="Run it as a statement of its own."
            )
    for select in trees[0].find_all(exp.Select):
        keep_joins(select)
        keep_commas(select)
    keep_nulls(trees[0])
    keep_values(trees[0])
    if isinstance(trees[0], exp.Values):
        return exp.select("*").from_(exp.Subquery(this=trees[0]))
    return trees[0]


def _parameters(tree: Any) -> int:
    """How many values are needed."""
    highest = 0
    for node in tree.find_all(exp.Placeholder, exp.Parameter):
        name = "" if node.this is None else node.name
        if not name.isdecimal() or not 0 < int(name) <= TOKENS_MAX:
            raise NotSupported(f"parameters are ? or $1, $2 …, not ${name}")
        clause = _clause_of_columns(node)
        if clause:
            raise NotSupported(
                f"a parameter alone cannot stand in {clause}: it is a value, not the number or name of a column",
                remedy="Write the number or the name into the statement.",
            )
        highest = max(highest, int(name))
    return highest


def _clause_of_columns(node: Any) -> str:
    """The clause in which a literal at its place would be the number of a column; empty: there is none."""
    while isinstance(node.parent, exp.Paren | exp.Tuple | exp.Ordered | exp.Cube | exp.Rollup | exp.GroupingSets):
        node = node.parent
    clause = node.parent
    if isinstance(clause, exp.Order):
        return "ORDER BY" if isinstance(clause.parent, exp.Query) else ""
    if isinstance(clause, exp.Group):
        return "GROUP BY"
    return "DISTINCT ON" if isinstance(clause, exp.Distinct) and node.arg_key == "on" else ""


__all__ = ["Statement", "not_sql", "parse", "parse_query", "problem"]
