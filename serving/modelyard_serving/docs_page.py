"""The OpenAPI document as one page of HTML that needs nothing else: pods have no internet.  Pure."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import orjson

STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{font-size:1.1rem;margin:2.5rem 0 .25rem}code,pre{font-family:ui-monospace,monospace}
pre{background:#8881;padding:.75rem;overflow:auto;font-size:.85rem}
.method{display:inline-block;min-width:3.5rem;font-weight:700}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}
:root{color-scheme:light dark}"""


def render(document: Mapping[str, Any]) -> str:
    """Return the page."""
    info = document["info"]
    title = escape(info["title"])
    operations = (
        _operation(document, path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1><p>{escape(info['description'])}</p>"
        f'<p>The same for programs: <a href="openapi.json">openapi.json</a></p>'
        f"{''.join(operations)}<h2>Schemas</h2>{_schemas(document)}</html>"
    )


def _operation(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> str:
    text = "".join(
        f"<p>{escape(paragraph)}</p>"
        for paragraph in operation.get("description", "").split("\n\n")
        if paragraph
    )
    return (
        f'<h2><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h2>'
        f"<p>{escape(operation['summary'])}</p>{text}{_parameters(operation)}"
        f"{_body(operation)}{_responses(document, operation)}"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    return _table(
        (f"<code>{escape(each['name'])}</code>", each["in"], escape(each["description"]))
        for each in operation.get("parameters", ())
    )


def _body(operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>For example, as <code>{escape(kind)}</code>:</p>{_pre(example['value'])}"
        for kind, described in content.items()
        for example in described.get("examples", {}).values()
    )


def _responses(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    rows = []
    for code, stated in operation["responses"].items():
        response = _resolved(document, stated)
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in response["content"])
        rows.append((code, kinds, escape(response["description"])))
    return _table(rows)


def _resolved(document: Mapping[str, Any], stated: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = stated.get("$ref")
    if reference is None:
        return stated
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    resolved: Mapping[str, Any] = found
    return resolved


def _schemas(document: Mapping[str, Any]) -> str:
    schemas = document["components"]["schemas"].items()
    return "".join(f"<h3>{escape(name)}</h3>{_pre(schema)}" for name, schema in schemas)


def _pre(value: object) -> str:
    return f"<pre>{escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = "".join(f"<tr><td>{'</td><td>'.join(cells)}</td></tr>" for cells in rows)
    return f"<table>{lines}</table>" if lines else ""
