"""Every Python example of the pages about the client is executed, page by page, and what it shows is compared.

An example shows a result by a comment: `grid.get("greeting")     # → b'hello'`. The code of one page runs as one program,
on a grid with several partitions and backups, as a reader has it, of which nothing is left for the next page; `await` may
stand anywhere.
"""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes, wait_until

import kubegrid

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"connect": 12, "tables": 16, "transactions": 5, "errors": 2, "consistency": 3, "sql": 25, "flight": 8}
"""And how many results each shows at least."""
SHOWN = re.compile(r"#\s*→\s*(.+?)\s*$")


def blocks(page: str) -> list[tuple[int, str]]:
    """First line's number and text of each Python example of a page."""
    text = (DOCS / f"{page}.md").read_text()
    found = re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text[: match.start(1)].count("\n") + 1, match[1]) for match in found]


class Compare(ast.NodeTransformer):
    """Expressions with a shown result become calls of `compare`."""

    def __init__(self, page: str, first: int, lines: list[str]) -> None:
        self.page = page
        self.first = first
        self.lines = lines

    def visit_Expr(self, statement: ast.Expr) -> ast.Expr:
        assert statement.end_lineno is not None
        shown = SHOWN.search(self.lines[statement.end_lineno - 1])
        if shown is None:
            return statement
        place = f"docs/{self.page}.md:{self.first + statement.lineno - 1}"
        arguments = [statement.value, ast.Constant(shown[1]), ast.Constant(place)]
        call = ast.Call(ast.Name("compare", ast.Load()), arguments, [])
        return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), statement))


async def execute(page: str, address: str) -> int:
    """Run a page; how many results were compared."""
    compared = 0

    def compare(value: Any, shown: str, place: str) -> None:
        nonlocal compared
        compared += 1
        assert repr(value) == shown, f"{place}: {value!r}, and the page shows {shown}"

    names: dict[str, Any] = {"__name__": f"docs_{page}", "compare": compare}
    for first, text in blocks(page):
        source = text.replace("127.0.0.1:7000", address)
        tree = Compare(page, first, source.splitlines()).visit(ast.parse(source))
        code = compile(tree, f"docs/{page}.md:{first}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
    return compared


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=2, replication=PATIENT) as grid:
        grid.start()
        with kubegrid.connect(address(grid)) as client:
            wait_until(
                lambda: client.execute("KG.ENDPOINTS").count(b'"flight":"127') == 4, what="all listen for Flight"
            )
        yield grid


@pytest.fixture
def grid(processes: GridProcesses) -> Iterator[GridProcesses]:
    yield processes
    with kubegrid.connect(address(processes)) as client:
        for table in client.tables():
            client.table(table).drop()
    for partition in range(processes.partitions):
        processes.client(processes.wait_primary(partition)).flushall()


def address(grid: GridProcesses) -> str:
    return f"127.0.0.1:{grid.ports['p0-0'][0]}"


@pytest.mark.filterwarnings("ignore:Cannot disable autocommit")
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_the_page_do_what_it_shows(grid: GridProcesses, page: str) -> None:
    assert asyncio.run(execute(page, address(grid))) >= PAGES[page]
