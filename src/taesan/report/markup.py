"""HTML out of small functions: text is escaped where it is put in, and only `Html` is not."""

import html
from collections.abc import Iterable, Mapping, Sequence

from taesan.errors import escape
from taesan.report.words import Both

NOTHING = "–"  # what was not measured


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Both | None


def tag(name: str, *children: Child, attributes: Mapping[str, str] | None = None) -> Html:
    """An element; what is said in two languages becomes an element for each, of which the page shows one."""
    given = "".join(f' {key}="{html.escape(value)}"' for key, value in (attributes or {}).items())
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def classed(name: str, kind: str, *children: Child) -> Html:
    return tag(name, *children, attributes={"class": kind})


def join(children: Iterable[Child]) -> Html:
    return Html("".join(_written(child) for child in children if child is not None))


def _written(child: str | Both) -> str:
    if isinstance(child, Html):
        return child
    if isinstance(child, Both):
        if child.en == child.ko:
            return html.escape(child.en)
        return f'<span lang="en">{_plain(child.en)}</span><span lang="ko">{_plain(child.ko)}</span>'
    return html.escape(child)


def _plain(text: str) -> str:
    return text if isinstance(text, Html) else html.escape(text)


def typed(text: str, limit: int = 240) -> Html:
    """What a user typed: controls made visible, shortened, apart from the direction of what is around it."""
    return Html(f"<bdi>{html.escape(escape(text, limit))}</bdi>")


def table(head: Sequence[Child], rows: Iterable[Sequence[Child]], *, numbers: Sequence[int] = ()) -> Html:
    """A table that scrolls by itself where it is wider than the page; the columns `numbers` are set to the right."""
    right = set(numbers)

    def cells(name: str, values: Sequence[Child]) -> Html:
        return join(
            classed(name, "n", value) if column in right else tag(name, value) for column, value in enumerate(values)
        )

    body = join(tag("tr", cells("td", row)) for row in rows)
    return classed("div", "scroll", tag("table", tag("thead", tag("tr", cells("th", head))), tag("tbody", body)))


def details(summary: Child, *children: Child) -> Html:
    """What is folded away until it is asked for."""
    return tag("details", tag("summary", summary), *children)


def or_nothing(value: Both) -> Child:
    return value if value.en else NOTHING


def dot(colour: str) -> Html:
    """What stands for a technique in the charts."""
    return Html(f'<span class="dot" style="background:{colour}"></span>')
