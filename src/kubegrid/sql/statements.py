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
from sqlglot.dialects.dialect import Dialect

from kubegrid.base.nearest import nearest
from kubegrid.base.table_errors import shown
from kubegrid.sql.errors import NotSupported, SqlError, SyntaxProblem, TooMuch, UnknownName

STATEMENT_BYTES_MAX = 2**20
TOKENS_MAX = 100_000
"""Words and signs; reading so many takes some seconds of a processor."""
DEPTH_MAX = 30
"""Of brackets, CASE and prefixes within each other; the parser's own recursion ends at about 40 of them."""
HIDDEN = "__"
"""What the names begin with that the grid itself adds: columns of versions, relations of plans."""

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
_OPEN = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE)
_CLOSE = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END)
_PREFIXES = (TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE)
_MARKS = (TokenType.PLACEHOLDER, TokenType.QDCOLON)
"""`?`, and `?::`, which sqlglot takes for an operator of another database."""
_QUERY_STARTS = ("SELECT", "WITH", "FROM", "VALUES", "(")

_DUCKDB = Dialect.get_or_raise("duckdb")


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
    analyze: bool = False
    """EXPLAIN ANALYZE: the explained statement is run."""


def parse(text: str, *, bytes_max: int = STATEMENT_BYTES_MAX, depth_max: int = DEPTH_MAX) -> Statement:
    """Raises SyntaxProblem, NotSupported, TooMuch."""
    tokens = tokens_of(text, bytes_max, depth_max)
    try:
        return _statement(_numbered(tokens, text), text)
    except RecursionError:
        raise TooMuch("the statement is nested too deep", remedy="Write parts of it as CTEs (WITH …).") from None


def tokens_of(text: str, bytes_max: int = STATEMENT_BYTES_MAX, depth_max: int = DEPTH_MAX) -> list[Token]:
    """The words and signs of one statement, within the limits; without the semicolon at its end."""
    if len(text) > bytes_max:
        raise TooMuch(
            f"a statement of {len(text)} characters; {bytes_max} are the most",
            remedy="Many rows are written faster with kubegrid load, or with write() of the client.",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise problem(SyntaxProblem, "it is not valid UTF-8", text, error.start) from None
    try:
        tokens = list(_DUCKDB.tokenize(text))
        if tokens and tokens[0].text.upper() == "EXPLAIN":  # sqlglot makes one token of all that follows it
            tokens[1:] = _DUCKDB.tokenize(" " * (tokens[0].end + 1) + text[tokens[0].end + 1 :])
    except sqlglot.errors.TokenError:
        place = max(text.rfind("'"), text.rfind('"'), text.rfind("/*"), text.rfind("$$"), 0)
        raise problem(SyntaxProblem, "a text, name or comment that does not end", text, place) from None
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise SyntaxProblem("there is no statement in it")
    if len(tokens) > TOKENS_MAX:
        raise TooMuch(
            f"a statement of {len(tokens)} words and signs; {TOKENS_MAX} are the most",
            remedy="Many rows are written faster with kubegrid load, or with write() of the client.",
        )
    depth = run = 0
    for token in tokens:
        kind = token.token_type
        if kind in _OPEN:
            depth += 1
        elif kind in _CLOSE:
            depth -= 1
        elif kind is TokenType.SEMICOLON:
            raise problem(NotSupported, "one statement at a time; a second one begins here", text, token.end + 1)
        elif kind in (TokenType.VAR, TokenType.IDENTIFIER) and token.text.startswith(HIDDEN):
            reason = f"no name {shown(token.text)}: names that begin with {HIDDEN} are not visible"
            raise problem(UnknownName, reason, text, token.start)
        run = run + 1 if kind in _PREFIXES else run if kind in _OPEN else 0
        if depth + run > depth_max:
            raise problem(TooMuch, f"the statement is nested more than {depth_max} deep", text, token.start)
    return tokens


def parse_query(tokens: list[Token], text: str) -> exp.Query:
    """The tree of the query that these tokens, a part of those of `text`, are. Raises SyntaxProblem."""
    tree = _tree(tokens, text)
    if not isinstance(tree, exp.Query) or isinstance(tree, exp.Table):
        raise problem(SyntaxProblem, "a query is expected here", text, tokens[0].start)
    return tree


def problem(kind: type[SqlError], reason: str, text: str, offset: int, remedy: str = "") -> SqlError:
    """An error that shows the place in the text."""
    line, column = SqlError.at(text, offset)
    place = f"line {line}, column {column}" if line > 1 else f"column {column}"
    return kind(f"{reason} ({place})", line=line, column=column, text=text, remedy=remedy)


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
        if token.token_type in _OPEN:
            depth += 1
        elif token.token_type in _CLOSE:
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
        trees = _DUCKDB.parser().parse(tokens, text)
    except sqlglot.errors.ParseError as error:
        raise not_sql(error, text) from None
    except RecursionError:
        raise
    except Exception as error:  # sqlglot's own mistakes over some texts
        raise SyntaxProblem(f"the statement is not understood ({type(error).__name__})") from error
    if len(trees) != 1 or trees[0] is None:
        raise problem(SyntaxProblem, "there is no statement here", text, tokens[0].start)
    if isinstance(trees[0], exp.Values):
        return exp.select("*").from_(exp.Subquery(this=trees[0]))
    return trees[0]


def not_sql(error: sqlglot.errors.ParseError, text: str) -> SqlError:
    """What the parser found wrong, with its place."""
    if not error.errors:
        return SyntaxProblem("the statement is not valid SQL")
    first: dict[str, Any] = error.errors[0]
    lines = text.split("\n")
    line = min(max(int(first.get("line") or 1), 1), len(lines))
    end = sum(len(each) + 1 for each in lines[: line - 1]) + int(first.get("col") or 1)
    reason = str(first.get("description") or "")
    highlight = str(first.get("highlight") or "")
    place = max(0, end - len(highlight))
    if reason.startswith("Expecting"):
        reason = f"{reason.removeprefix('Expecting ')} is expected here"
    elif reason.startswith("Required keyword"):
        reason, place = f"something is missing after {shown(highlight)}", end
    else:
        reason = f"{shown(highlight)} does not belong here" if highlight else "this is not valid SQL"
    return problem(SyntaxProblem, reason, text, place)


def _numbered(tokens: list[Token], text: str) -> list[Token]:
    """With `$1`, `$2` … for every `?`: the tree forgets in which order they stood in the text."""
    if not any(token.token_type in _MARKS for token in tokens):
        return tokens
    for token in tokens:
        if token.token_type is TokenType.PARAMETER:
            raise problem(SyntaxProblem, "? and $1 in one statement; use one of them throughout", text, token.start)
    numbered: list[Token] = []
    count = 0
    for token in tokens:
        if token.token_type in _MARKS:
            count += 1
            place = (token.line, token.col, token.start, token.end)
            numbered += [Token(TokenType.PARAMETER, "$", *place), Token(TokenType.NUMBER, str(count), *place)]
            if token.token_type is TokenType.QDCOLON:
                numbered.append(Token(TokenType.DCOLON, "::", *place))
        else:
            numbered.append(token)
    return numbered


def _parameters(tree: Any) -> int:
    highest = 0
    for node in tree.find_all(exp.Placeholder, exp.Parameter):
        name = "" if node.this is None else node.name
        if not name.isdecimal() or not 0 < int(name) <= TOKENS_MAX:
            raise NotSupported(f"parameters are ? or $1, $2 …, not ${name}")
        highest = max(highest, int(name))
    return highest
