"""SQL over the tables of a grid: so far the predicates with which records are found."""


def prepare() -> None:
    """Load the parser, which takes most of a second, before somebody waits for it. May be called in a thread."""
    from kubegrid.sql.parsing import parsed

    parsed("TRUE")
