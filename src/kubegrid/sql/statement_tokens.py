"""From the text of a statement to tokens: bounded, of one statement, and as sqlglot's parser takes them rightly.

Only tokens have bounds that hold; a parser that recurses sees them afterwards. Next: `statements`.
"""

from typing import Any

import sqlglot
from sqlglot import Token, TokenType

from kubegrid.base.table_errors import shown
from kubegrid.sql.ddl_dialect import DIALECT, PARAMETER_START
from kubegrid.sql.errors import NotSupported, SqlError, SyntaxProblem, TooMuch, UnknownName

STATEMENT_BYTES_MAX = 2**20
TOKENS_MAX = 100_000
"""Words and signs; reading so many takes some seconds of a processor."""
DEPTH_MAX = 30
"""Of brackets, CASE and prefixes within each other; the parser's own recursion ends at about 40 of them."""
HIDDEN = "__"
"""What the names begin with that the grid itself adds: columns of versions, relations of plans."""

OPEN = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE)
CLOSE = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END)
_PREFIXES = (TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE)
_MARKS = (TokenType.PLACEHOLDER, TokenType.QDCOLON)
"""`?`, and `?::`, which sqlglot takes for an operator of another database."""

_TYPES = DIALECT.parser_class.TYPE_TOKENS


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
        tokens = list(DIALECT.tokenize(text))
        if tokens and tokens[0].text.upper() == "EXPLAIN":  # sqlglot makes one token of all that follows it
            tokens[1:] = DIALECT.tokenize(" " * (tokens[0].end + 1) + text[tokens[0].end + 1 :])
    except sqlglot.errors.TokenError:
        place = max(text.rfind("'"), text.rfind('"'), text.rfind("/*"), text.rfind("$$"), 0)
        raise problem(SyntaxProblem, "a text, name or comment that does not end", text, place) from None
    tokens = with_numbers(tokens)
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
    before: TokenType | None = None
    for token in tokens:
        kind = token.token_type
        if kind is TokenType.VAR and before is TokenType.R_PAREN and token.text.upper() == "EXPORT_STATE":
            raise problem(NotSupported, "EXPORT_STATE is not supported: an answer has no states", text, token.start)
        before = kind
        if kind in OPEN:
            depth += 1
        elif kind in CLOSE:
            depth -= 1
        elif kind is TokenType.SEMICOLON:
            raise problem(NotSupported, "one statement at a time; a second one begins here", text, token.end + 1)
        elif kind in (TokenType.VAR, TokenType.IDENTIFIER) and token.text.startswith(HIDDEN):
            reason = f"no name {shown(token.text)}: names that begin with {HIDDEN} are not visible"
            raise problem(UnknownName, reason, text, token.start)
        run = run + 1 if kind in _PREFIXES else run if kind in OPEN else 0
        if depth + run > depth_max:
            raise problem(TooMuch, f"the statement is nested more than {depth_max} deep", text, token.start)
    return _bracketed(_numbered(_with_percents(tokens), text))


def problem(kind: type[SqlError], reason: str, text: str, offset: int, remedy: str = "") -> SqlError:
    """An error that shows the place in the text."""
    line, column = SqlError.at(text, offset)
    place = f"line {line}, column {column}" if line > 1 else f"column {column}"
    return kind(f"{reason} ({place})", line=line, column=column, text=text, remedy=remedy)


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


def _with_percents(tokens: list[Token]) -> list[Token]:
    """With PERCENT for each `%` that has no divisor: the one that ends a LIMIT."""
    made = list(tokens)
    for place, token in enumerate(tokens):
        follows = tokens[place + 1].token_type if place + 1 < len(tokens) else None
        if token.token_type is TokenType.MOD and follows in (None, TokenType.R_PAREN, TokenType.OFFSET):
            made[place] = Token(TokenType.PERCENT, token.text, token.line, token.col, token.start, token.end)
    return made


def with_numbers(tokens: list[Token]) -> list[Token]:
    """`$12` as `$` and a number, of which the tokenizer makes `$1` and `2`."""
    if not any(token.token_type is PARAMETER_START for token in tokens):
        return tokens
    made: list[Token] = []
    for token in tokens:
        if token.token_type is PARAMETER_START:
            made.append(Token(TokenType.PARAMETER, "$", token.line, token.col, token.start, token.start))
            made.append(Token(TokenType.NUMBER, token.text[1], token.line, token.col, token.end, token.end))
        elif _goes_on(made, token):
            number = made[-1]
            made[-1] = Token(TokenType.NUMBER, number.text + token.text, token.line, token.col, number.start, token.end)
        else:
            made.append(token)
    return made


def _goes_on(made: list[Token], token: Token) -> bool:
    """Whether the token is the rest of a parameter's number."""
    parameter = len(made) > 1 and made[-2].token_type is TokenType.PARAMETER
    return parameter and token.text.isdecimal() and made[-1].end + 1 == token.start


def _numbered(tokens: list[Token], text: str) -> list[Token]:
    """With `$1`, `$2` … for every `?`, for the tree forgets in which order they stood in the text; and for `?1`, `?2` …"""
    if not any(token.token_type in _MARKS for token in tokens):
        return tokens
    numbered: list[Token] = []
    count = 0
    kinds: set[str] = set()
    for place, token in enumerate(tokens):
        kind = token.token_type
        if kind is TokenType.PARAMETER:
            kinds.add("$1")
        if kind not in _MARKS:
            numbered.append(token)
        else:
            at = (token.line, token.col, token.start, token.end)
            numbered.append(Token(TokenType.PARAMETER, "$", *at))
            if kind is TokenType.PLACEHOLDER and _is_numbered(tokens, place):
                kinds.add("?1")
            else:
                kinds.add("?")
                count += 1
                numbered.append(Token(TokenType.NUMBER, str(count), *at))
            if kind is TokenType.QDCOLON:
                numbered.append(Token(TokenType.DCOLON, "::", *at))
        if len(kinds) > 1:
            both = " and ".join(sorted(kinds, reverse=True))
            raise problem(SyntaxProblem, f"{both} in one statement; use one of them throughout", text, token.start)
    return numbered


def _is_numbered(tokens: list[Token], place: int) -> bool:
    """Whether the number of a parameter stands right behind its `?`."""
    after = tokens[place + 1] if place + 1 < len(tokens) else None
    return after is not None and after.token_type is TokenType.NUMBER and after.start == tokens[place].end + 1


def _bracketed(tokens: list[Token]) -> list[Token]:
    """With parentheses around the literal in `DATE '2013-01-31'::TIMESTAMP`, which sqlglot takes for a cast of the text."""
    made: list[Token] = []
    for place, token in enumerate(tokens):
        made.append(token)
        follows = tokens[place + 1].token_type if place + 1 < len(tokens) else None
        if token.token_type is TokenType.STRING and follows is TokenType.DCOLON:
            length = _type_before(made)
            if length:
                kind = made[-1 - length]
                at = (kind.line, kind.col, kind.start, kind.end)
                made.insert(len(made) - 1 - length, Token(TokenType.L_PAREN, "(", *at))
                made.append(Token(TokenType.R_PAREN, ")", token.line, token.col, token.start, token.end))
    return made


def _type_before(made: list[Token]) -> int:
    """Of how many words and signs the type before the last token is: `DATE`, `DECIMAL(4, 2)`, `INTEGER[]`, `TIMESTAMP WITH
    TIME ZONE`; 0: there is none."""
    at = len(made) - 2
    if [token.text.upper() for token in made[max(0, at - 1) : at + 1]] == ["TIME", "ZONE"]:
        at -= 3  # WITH or WITHOUT, too
    depth = 0
    while at >= 0:
        kind = made[at].token_type
        depth += (kind in CLOSE) - (kind in OPEN)
        if depth < 0 or (depth == 0 and kind not in OPEN):
            break
        at -= 1
    if at < 0 or depth or made[at].token_type not in _TYPES or made[at].token_type is TokenType.IDENTIFIER:
        return 0
    return len(made) - 1 - at
