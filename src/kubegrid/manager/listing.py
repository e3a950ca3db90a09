"""The page that lists what the manager answers, made of its OpenAPI description.

Plain HTML without scripts: the page that FastAPI brings is fetched from elsewhere by whoever looks at it, which a machine
without the Internet cannot, and what is fetched could give orders to the manager.
"""

from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>KubeGrid manager</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222 }
table { border-collapse: collapse }
td, th { text-align: left; vertical-align: top; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid #ddd }
code { white-space: nowrap }
</style>
<h1>KubeGrid manager</h1>
<p>Answers are JSON, an error is <code>{"error": "…"}</code>. A grid with a secret wants
<code>Authorization: Bearer SECRET</code>. For programs: <a href="/openapi.json">openapi.json</a>.</p>
<table><tr><th><th>path<th>takes<th>what it does</tr>
"""


def page(openapi: dict[str, Any]) -> str:
    """`openapi`: the description as FastAPI gives it."""
    schemas = openapi.get("components", {}).get("schemas", {})
    rows = [
        f"<tr><td>{method.upper()}<td>{_path(method, path)}<td>{_takes(operation, schemas)}"
        f"<td>{escape(operation.get('description', ''))}</tr>\n"
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return _HEAD + "".join(rows) + "</table></html>\n"


def _path(method: str, path: str) -> str:
    text = f"<code>{escape(path)}</code>"
    return f'<a href="{escape(path)}">{text}</a>' if method == "get" and "{" not in path else text


def _takes(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Names in the query and in the body."""
    query = [f"?{parameter['name']}" for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    for choice in schema.get("anyOf", [schema]):
        body = schemas.get(choice.get("$ref", "").rpartition("/")[2], {})
        query += body.get("properties", {})
        if choice.get("type") == "object":
            query.append("a definition")
    return ", ".join(f"<code>{escape(name)}</code>" for name in query)
