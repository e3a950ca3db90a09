"""From the text of a predicate to sqlglot's tree, with the bounds that sqlglot does not have.

It is a recursive parser for whole dialects, so two things are done before it sees the text: this is cut into tokens,
their number and nesting are bounded (a parser that is made to recurse does it on the serving loop's stack and time),
and what no predicate has (calls, subqueries, parameters) is refused while its place is still known. Next: `reading`.
"""

from typing import Any

import sqlglot
from sqlglot import Token, TokenType

from kubegrid.sql.ddl_dialect import DIALECT
from kubegrid.sql.errors import PredicateError
from kubegrid.sql.statement_tokens import with_numbers

PREDICATE_CHARS_MAX = 16_384
TOKENS_MAX = 500
"""sqlglot takes 50 to 150 µs a token: this many hold up the serving loop for some tens of milliseconds, which is more
than it likes and less than anybody takes for its death."""
DEPTH_MAX = 24
"""Of parentheses and prefixes; sqlglot's own recursion ends at about 45 of them."""

HAS = "a predicate has comparisons, IN, BETWEEN, LIKE, IS NULL, AND, OR and NOT over columns and literals"

_PREFIXES = (TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE)
_OPEN = (TokenType.L_PAREN,)
_BEFORE_PARENTHESIS = {
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "ILIKE",
    "IS",
    "ESCAPE",
    "CAST",
    "DECIMAL",
    "NUMERIC",
}
_REFUSED_WORDS = {"SELECT": "a subquery", "CASE": "CASE", "INTERVAL": "an interval", "EXISTS": "EXISTS"}
_REFUSED_SIGNS = {
    TokenType.SEMICOLON: "a second statement",
    TokenType.L_BRACKET: "a list",
    TokenType.L_BRACE: "a structure",
    TokenType.PLACEHOLDER: "a parameter",
    TokenType.PARAMETER: "a parameter",
    TokenType.ARROW: "->",
    TokenType.DARROW: "->>",
}


def parsed(text: str) -> Any:
    """sqlglot's tree of the text. Raises PredicateError."""
    if len(text) > PREDICATE_CHARS_MAX:
        raise PredicateError(f"a predicate of {len(text)} characters; {PREDICATE_CHARS_MAX} are the most", text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PredicateError("it is not valid UTF-8", text, error.start) from None
    try:
        tokens = with_numbers(DIALECT.tokenize(text))
        _check_tokens(tokens, text)
        trees = DIALECT.parser().parse(tokens, text)
    except sqlglot.errors.ParseError as error:
        raise _not_sql(error, text) from None
    except sqlglot.errors.TokenError:
        raise PredicateError(
            "a text or name that does not end, or a character that SQL does not have", text, _open_quote(text)
        ) from None
    except RecursionError:
        raise PredicateError("it is nested too deep", text) from None
    except PredicateError:
        raise
    except Exception as error:  # sqlglot's own mistakes over some texts; the member must not fall over them
        raise PredicateError(f"it is not valid SQL ({type(error).__name__})", text) from error
    if len(trees) != 1 or trees[0] is None:
        raise PredicateError(f"it is empty; {HAS}", text)
    return trees[0]


def _check_tokens(tokens: list[Token], text: str) -> None:
    if not tokens:
        raise PredicateError(f"it is empty; {HAS}", text)
    if len(tokens) > TOKENS_MAX:
        reason = f"it has {len(tokens)} words and signs; {TOKENS_MAX} are the most"
        raise PredicateError(reason, text, tokens[TOKENS_MAX].start)
    depth = run = 0
    before: Token | None = None
    for token in tokens:
        kind = token.token_type
        word = token.text.upper()
        if kind in _OPEN:
            depth += 1
            if before is not None and _is_name(before) and before.text.upper() not in _BEFORE_PARENTHESIS:
                raise PredicateError(f"{before.text.lower()}() is a function; {HAS}", text, before.start)
        elif kind is TokenType.R_PAREN:
            depth -= 1
        run = run + 1 if kind in _PREFIXES else run if kind in _OPEN else 0
        if depth + run > DEPTH_MAX:
            raise PredicateError(f"it is nested more than {DEPTH_MAX} deep", text, token.start)
        refused = _REFUSED_SIGNS.get(kind) or (_REFUSED_WORDS.get(word) if _is_name(token) else None)
        if refused is not None and not (before is None and kind is TokenType.VAR):
            raise PredicateError(f"{refused} cannot stand in a predicate; {HAS}", text, token.start)
        before = token


def _is_name(token: Token) -> bool:
    """A word without quotes, keyword or not."""
    return (
        token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER, TokenType.NUMBER)
        and token.text[:1].isidentifier()
    )


def _not_sql(error: sqlglot.errors.ParseError, text: str) -> PredicateError:
    if not error.errors:
        return PredicateError("it is not valid SQL", text)
    first: dict[str, Any] = error.errors[0]
    lines = text.split("\n")
    line = int(first.get("line") or 1)
    end = sum(len(each) + 1 for each in lines[: line - 1]) + int(first.get("col") or 1)
    reason = str(first.get("description") or "not valid SQL")
    if reason.startswith("Required keyword"):
        reason = "something is missing here"
    elif reason.startswith("Invalid expression"):
        reason = "this does not belong here"
    return PredicateError(reason[:1].lower() + reason[1:], text, max(0, end - len(str(first.get("highlight") or ""))))


def _open_quote(text: str) -> int:
    return max(text.rfind("'"), text.rfind('"'), 0)
