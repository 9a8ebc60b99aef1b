"""`/docs`: the server's OpenAPI description as a page that needs no script and loads nothing from elsewhere."""

import json
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

Schema = Mapping[str, Any]
LEAD = (
    'Requests and answers are JSON. What is refused is told {"error": {"code": …, "message": …}}. '
    "Where the server has a key, send Authorization: Bearer KEY."
)


def reference(description: Schema) -> bytes:
    """The page of what `FastAPI.openapi` gives. Names of models are left out of it: who has no key may read it too."""
    page = Element("html", {"lang": "en"})
    head, body = SubElement(page, "head"), SubElement(page, "body")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    SubElement(head, "link", {"rel": "icon", "href": "icon.svg", "type": "image/svg+xml"})
    SubElement(head, "link", {"rel": "stylesheet", "href": "style.css"})
    _say(head, "title", "taesan API")
    _say(
        SubElement(SubElement(body, "header", {"class": "top"}), "p", {"class": "brand"}), "a", "taesan", {"href": "."}
    )
    main = SubElement(body, "main", {"class": "reference"})
    _say(main, "h1", "What programs ask")
    _say(main, "p", LEAD, {"class": "lead"})
    _say(SubElement(main, "p"), "a", "The same for machines: openapi.json", {"href": "openapi.json"})
    for address, methods in description["paths"].items():
        for method, operation in methods.items():
            _operation(main, method.upper(), address, operation, description["components"]["schemas"])
    return b"<!doctype html>\n" + tostring(page, "utf-8", method="html")


def _operation(main: Element, method: str, address: str, operation: Schema, schemas: Schema) -> None:
    section = SubElement(main, "section")
    _say(section, "h2", f"{method} {address}")
    _say(section, "p", operation["description"])
    command = f"curl http://127.0.0.1:8000{address.replace('{name}', 'NAME')}"
    if "requestBody" in operation:
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        body = schemas[name]
        if "description" in body:
            _say(section, "p", body["description"])
        table = SubElement(SubElement(section, "div", {"class": "scroll"}), "table")
        for key, field in body["properties"].items():
            row = SubElement(table, "tr")
            _say(row, "th", f"`{key}`", {"scope": "row"})
            default = f"; {json.dumps(field['default'])} if left out" if field.get("default") is not None else ""
            needed = "; needed" if key in body.get("required", ()) else ""
            _say(row, "td", _kind(field) + needed + default)
            _say(row, "td", field.get("description", ""))
        example = json.dumps(body["examples"][0], ensure_ascii=False)
        command += f" \\\n  -H 'Content-Type: application/json' -d '{example}'"
    _say(section, "pre", command)


def _kind(field: Schema) -> str:
    """What a value may be, in words."""
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"] if one.get("type") != "null")
    kind = str(field.get("type", "object"))
    if kind == "array":
        return f"{field['minItems']} to {field['maxItems']} of: {_kind(field['items'])}"
    least, most, above = (field.get(name) for name in ("minimum", "maximum", "exclusiveMinimum"))
    if most is not None:
        return f"{kind}, {f'above {above:g}, at most' if above is not None else f'{least:g} to'} {most:,.0f}"
    return f"{kind}, at least {least:g}" if least is not None else kind


def _say(parent: Element, tag: str, text: str, attributes: Mapping[str, str] | None = None) -> Element:
    """An element that says so; what stands between backticks is code."""
    element = SubElement(parent, tag, dict(attributes or {}))
    element.text, *rest = text.split("`")
    for code, after in zip(rest[::2], rest[1::2], strict=True):
        part = SubElement(element, "code")
        part.text, part.tail = code, after
    return element
