"""The charts of the page as inline SVG: drawn by matplotlib, their text as text, their colours those of the page.

matplotlib knows neither dark mode nor a second language. It draws in the colours of LIGHT, which then become CSS
variables; a text that PHRASES knows becomes both languages, of which the page shows one.
"""

import contextlib
import html
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from taesan.report.charts import colour_numbers
from taesan.report.findings import Findings, Fitted, Point, Technique
from taesan.report.mistakes import Mistakes
from taesan.report.words import Both, metric_name, whole

# Okabe and Ito's palette (2008), told apart by all kinds of colour vision, a little darker where it is on white.
LIGHT = ("#0072b2", "#d55e00", "#008f67", "#b8528f", "#a97b00", "#3d3d46", "#6b4fa0", "#8c8c8c")
INK, QUIET, RULE, PAPER = "#1b1b1e", "#6e6e73", "#d8d6d1", "#fdfcfa"
VARIABLES = {colour: f"var(--c{number})" for number, colour in enumerate(LIGHT)} | {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "taesan",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
}
PHRASES: dict[str, Both] = {
    "labelled rows": Both("labelled rows", "레이블 수(행)"),
    "no labels": Both("none", "없음"),
    "beyond what was measured": Both("extrapolated", "외삽"),
    "confidence": Both("confidence", "확신"),
    "share right": Both("share that is right", "맞은 비율"),
    "predicted": Both("predicted", "예측"),
    "true": Both("true", "정답"),
    "minutes": Both("minutes since the start", "시작부터 지난 시간(분)"),
    "latency": Both("milliseconds a prediction", "예측 한 번에 걸리는 시간(ms)"),
    "seconds": Both("seconds to train", "학습 시간(초)"),
    "the best for its price": Both("best for its price", "값에 비해 최고"),
}


def styles(techniques: Sequence[Technique]) -> dict[Technique, tuple[str, str, Any]]:
    """Colour, marker and dashes of each: a method has a colour and a marker, a backbone its dashes."""
    backbones = ["", *sorted({one.backbone for one in techniques if one.backbone})]
    return {
        one: (LIGHT[number], MARKERS[number], DASHES[max(0, backbones.index(one.backbone) - 1) % len(DASHES)])
        for one, number in colour_numbers(techniques).items()
    }


# Inches of the wide charts: on the page a point is then a little more than a pixel.
WIDTH = 7.4


def learning_curves(findings: Findings, techniques: Sequence[Technique]) -> str:
    """The metric over labelled rows: measured points with their intervals, fits with their bands, dashed beyond."""
    style, scale = styles(findings.techniques), findings.scale
    percent = 100 if scale.sign > 0 else 1
    with _figure(WIDTH, 4.3) as (axes, finish):
        sizes = sorted({point.rows for one in techniques for point in findings.of(one)})
        positive = [size for size in sizes if size > 0] or [1]
        zero = positive[0] / 3.2 if 0 in sizes else None
        last = positive[-1]
        end = last * 3.2
        ends: list[tuple[float, str, str]] = []
        for number, one in enumerate(techniques):
            aside = 1.035 ** (number - (len(techniques) - 1) / 2)  # so that intervals stand side by side
            colour, marker, dashes = style[one]
            fitted, points = findings.fitted[one], findings.of(one)
            if len([point for point in points if point.rows]) > 1:
                _draw_curve(axes, fitted, percent, colour, dashes, positive[0], end)
                ends.append(
                    (percent * float(np.interp(np.log(end), np.log(fitted.rows), fitted.value)), one.method, colour)
                )
            elif points[-1].rows == 0 or points[-1].rows < last:
                level = percent * points[-1].score.value
                axes.axhline(level, color=colour, linewidth=1, linestyle=(0, (1, 2)))
                ends.append((level, one.method, colour))
            for point in points:
                place, score = (point.rows or zero) * aside, point.score
                axes.plot([place, place], [percent * score.low, percent * score.high], color=colour, linewidth=1.1)
                axes.plot([place], [percent * score.value], marker, color=colour, markersize=5, markeredgecolor=PAPER)
            if len(points) == 1 and points[0].rows == last:
                ends.append((percent * points[0].score.value, one.method, colour))
        axes.set_xscale("log")
        axes.set_xlim((zero or positive[0]) / 1.25, end)
        axes.axvspan(last * 1.12, end, color=RULE, alpha=0.35, linewidth=0)
        axes.text(
            np.sqrt(last * 1.12 * end), 1.015, "beyond what was measured", **_small(axes), ha="center", va="bottom"
        )
        ticks = ([zero] if zero else []) + _thinned(positive)
        axes.set_xticks(ticks, ["no labels" if tick == zero else whole(tick) for tick in ticks])
        axes.minorticks_off()
        if scale.sign < 0:
            axes.set_yscale("log")
        _limits(axes, [percent * value for one in techniques for point in findings.of(one) for value in _span(point)])
        axes.set_xlabel("labelled rows", loc="left")
        _name_ends(axes, ends, end)
        return finish(f"{metric_name(findings.records.plan.metric).en} by labelled rows")


def _draw_curve(axes: Any, fitted: Fitted, percent: int, colour: str, dashes: Any, begin: float, end: float) -> None:
    inside = (fitted.rows >= begin / 1.1) & (fitted.rows <= fitted.measured * 1.001)
    beyond = (fitted.rows >= fitted.measured) & (fitted.rows <= end)
    for part, alpha in ((inside, 0.12), (beyond, 0.06)):
        axes.fill_between(
            fitted.rows[part],
            percent * fitted.low[part],
            percent * fitted.high[part],
            color=colour,
            alpha=alpha,
            linewidth=0,
        )
    axes.plot(fitted.rows[inside], percent * fitted.value[inside], color=colour, linewidth=1.8, linestyle=dashes)
    axes.plot(fitted.rows[beyond], percent * fitted.value[beyond], color=colour, linewidth=1.1, linestyle=(0, (2, 2)))


def cost_chart(findings: Findings) -> str:
    """The best metric over what one prediction takes, or over training time where nothing was timed; Pareto's front."""
    style, scale = styles(findings.techniques), findings.scale
    percent = 100 if scale.sign > 0 else 1
    timed = [(point, findings.latency(point.technique, "p50")) for point in findings.best]
    label = "latency"
    found = [(point, 1000 * value) for point, value in timed if value]
    if len(found) < 2:
        label = "seconds"
        found = [(point, value) for point in findings.best if (value := findings.cost(point, "seconds"))]
    if not found:
        return ""
    with _figure(WIDTH, 3.8) as (axes, finish):
        front = _pareto(found)
        axes.plot(
            [cost for _, cost in front],
            [percent * point.score.value for point, _ in front],
            color=QUIET,
            linewidth=1,
            linestyle=(0, (4, 3)),
            zorder=1,
        )
        costs = [cost for _, cost in found]
        for point, cost in found:
            colour, marker, _ = style[point.technique]
            low, high = percent * point.score.low, percent * point.score.high
            axes.plot([cost, cost], [low, high], color=colour, linewidth=1.1)
            axes.plot([cost], [percent * point.score.value], marker, color=colour, markersize=7, markeredgecolor=PAPER)
        axes.set_xscale("log")
        axes.set_xlim(min(costs) / 2, max(costs) * 2)
        ticks = _decades(min(costs) / 2, max(costs) * 2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        if scale.sign < 0:
            axes.set_yscale("log")
        _limits(axes, [percent * value for point, _ in found for value in _span(point)])
        _name_points(axes, [(cost, percent * point.score.value, point.technique.name) for point, cost in found])
        axes.set_xlabel(label, loc="left")
        return finish("quality against cost")


def _pareto(found: Sequence[tuple[Point, float]]) -> list[tuple[Point, float]]:
    """Those that nothing cheaper beats, cheapest first."""
    front: list[tuple[Point, float]] = []
    for point, cost in sorted(found, key=lambda one: (one[1], one[0].error)):
        if not front or point.error < front[-1][0].error:
            front.append((point, cost))
    return front


def reliability(findings: Findings, technique: Technique) -> str:
    """How often answers of some confidence are right: on the diagonal where confidence can be believed."""
    colour, found = styles(findings.techniques)[technique][0], findings.calibrations[technique]
    with _figure(2.6, 2.6) as (axes, finish):
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.plot(found.confidence, found.right, color=colour, linewidth=1.4)
        sizes = 8 + 90 * found.count / found.count.sum()
        axes.scatter(found.confidence, found.right, s=sizes, color=colour, edgecolor=PAPER, linewidth=0.6, zorder=3)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xlabel("confidence", loc="left")
        axes.text(0, 1.06, "share right", **_small(axes), va="bottom")
        return finish(f"reliability of {technique.name}")


def confusion(mistakes: Mistakes) -> str:
    """Shares of each true class by what was predicted."""
    classes, counts = mistakes.classes, mistakes.confusion
    if not classes:
        return ""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(classes)
    cell = 0.62 if size <= 12 else 0.34
    with _figure(1.4 + cell * size, 0.9 + cell * size) as (axes, finish):
        for row in range(size):
            for column in range(size):
                share = float(shares[row, column])
                right = row == column
                axes.add_patch(
                    Rectangle(
                        (column - 0.48, row - 0.48),
                        0.96,
                        0.96,
                        facecolor=LIGHT[0] if right else LIGHT[1],
                        alpha=0.06 + 0.74 * share if share else 0.03,
                        linewidth=0,
                    )
                )
                if size <= 12 and counts[row, column]:
                    axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=9.5, color=INK)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
        names = [label if len(label) <= 14 else f"{label[:13]}…" for label in classes]
        short = max(map(len, names)) <= (9 if size <= 4 else 4)
        axes.set_xticks(range(size), names, rotation=0 if short else 45, ha="center" if short else "right")
        axes.set_yticks(range(size), names)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted", loc="left")
        axes.text(-0.5, -0.62, "true", fontsize=9, color=QUIET, ha="right", va="bottom")
        return finish("confusion matrix")


def timeline(findings: Findings) -> str:
    """When each cell ran, a line a worker; what failed is crossed out."""
    cells = [cell for cell in findings.records.cells if cell.started_at is not None and cell.seconds]
    if not cells:
        return ""
    names = {(one.method, one.backbone): one for one in findings.techniques}
    style = styles(findings.techniques)
    cells.sort(key=lambda cell: cell.started_at or 0.0)
    lanes: list[float] = []
    spans = _without_pauses(
        [(cell.started_at or 0.0, (cell.started_at or 0.0) + (cell.seconds or 0.0)) for cell in cells]
    )
    placed: list[int] = []
    for begin, end in spans:
        lane = next((number for number, free in enumerate(lanes) if free <= begin + 0.5), len(lanes))
        lanes[lane : lane + 1] = [end]
        placed.append(lane)
    with _figure(WIDTH, 0.75 + 0.34 * len(lanes)) as (axes, finish):
        for cell, (begin, end), lane in zip(cells, spans, placed, strict=True):
            technique = names.get((cell.method, cell.backbone))
            colour = style[technique][0] if technique else QUIET
            axes.barh(
                lane, (end - begin) / 60, left=begin / 60, height=0.78, color=colour, edgecolor=PAPER, linewidth=0.5
            )
        axes.set_ylim(len(lanes) - 0.5, -0.5)
        axes.set_xlim(0, max(end for _, end in spans) / 60)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.set_xlabel("minutes", loc="left")
        return finish("timeline of the run")


def _without_pauses(spans: Sequence[tuple[float, float]], pause: float = 60.0) -> list[tuple[float, float]]:
    """Spans from 0 on; where nothing ran for longer than a minute, as between two sittings, the clock stood still."""
    moved: list[tuple[float, float]] = []
    shift, busy = spans[0][0], spans[0][0]
    for begin, end in spans:
        if begin > busy + pause:
            shift += begin - busy
        busy = max(busy, end)
        moved.append((begin - shift, end - shift))
    return moved


# What the charts share ----------------------------------------------------------------------------------------------


def _small(axes: Any) -> dict[str, Any]:
    return {"fontsize": 9, "color": QUIET, "transform": axes.get_xaxis_transform()}


def _span(point: Point) -> tuple[float, float]:
    return point.score.low, point.score.high


def _limits(axes: Any, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if axes.get_yscale() == "log":
        axes.set_ylim(low / 1.1, high * 1.1)
        return
    room = max(0.06 * (high - low), 0.5)
    axes.set_ylim(low - room, min(high + room, 101))


def _thinned(sizes: Sequence[int]) -> list[float]:
    """Ticks with room between them."""
    kept: list[float] = []
    for size in reversed(sizes):
        if not kept or kept[-1] / size > 1.7:
            kept.append(float(size))
    return kept[::-1]


def _decades(low: float, high: float) -> list[float]:
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1,) if high / low > 300 else (1, 3)
    return [float(step * 10**power) for power in powers for step in steps if low <= step * 10**power <= high]


def _name_ends(axes: Any, ends: list[tuple[float, str, str]], place: float) -> None:
    """Names at the curves' ends, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    log = axes.get_yscale() == "log"
    span = np.log(high / low) if log else high - low
    heights = [float(np.log(value / low) if log else value - low) / span for value, _, _ in ends]
    order = np.argsort(heights)
    gap, placed = 0.058, np.clip(np.array(heights), 0.0, 1.0)
    for _ in range(200):
        for below, above in pairwise(order):
            overlap = gap - (placed[above] - placed[below])
            if overlap > 0:
                placed[below] -= overlap / 2
                placed[above] += overlap / 2
        placed = np.clip(placed, 0.0, 1.0)
    for (_, name, colour), height in zip(ends, placed, strict=True):
        axes.text(1.012, height, name, transform=axes.transAxes, color=colour, va="center", fontsize=9.5)


def _name_points(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Names beside their points, the first of a few places that is free."""
    places = [axes.transData.transform((x, y)) for x, y, _ in points]  # in pixels of 1/100 inch
    taken = [(x - 7, x + 7, y - 7, y + 7) for x, y in places]
    for (_, _, name), (x, y) in zip(points, places, strict=True):
        width = 7.4 * len(name)
        offsets = ((10, 0), (-10 - width, 0), (-width / 2, 15), (-width / 2, -15), (10, 15), (10, -15), (10, 30))
        boxes = [(x + dx, x + dx + width, y + dy - 7, y + dy + 7) for dx, dy in offsets]
        left = axes.bbox.x0
        free = [one for one in boxes if one[0] >= left and not any(_overlap(one, other) for other in taken)]
        box = (free or boxes)[0]
        taken.append(box)
        middle = axes.transData.inverted().transform((box[0], (box[2] + box[3]) / 2))
        axes.text(*middle, name, va="center", color=INK, fontsize=9.5)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


Finish = Callable[[str], str]


@contextlib.contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, Finish]]:
    """Axes of so many inches, bare of all that is not data, and what ends them as SVG."""
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's fonts draw the text, not matplotlib's
        figure = Figure(figsize=(width, height))
        axes = figure.add_subplot()

        def finish(title: str) -> str:
            file = io.StringIO()
            figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
            return _inline(file.getvalue(), title)

        yield axes, finish


def _inline(svg: str, title: str) -> str:
    """The drawing as part of a page: no header, no names that two charts share, the page's colours and languages."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    # Characters that are no HTML were escaped by matplotlib: a label stays text.
    prefix = re.sub(r"\W+", "-", title)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"font: (?:(\d+) )?([\d.]+)px [^;\"]+", lambda m: f"font: {m[1] or 400} {m[2]}px var(--sans)", svg)
    svg = re.sub(r"(<text[^>]*>)([^<]*)</text>", _translated, svg)
    size = re.search(r'<svg[^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size is not None
    opening = (
        f'<svg class="chart" role="img" viewBox="0 0 {size[1]} {size[2]}" '
        f'style="max-width:{float(size[1]) * 1.34:.0f}px">'
        f"<title>{html.escape(title)}</title>"
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)


def _translated(found: re.Match[str]) -> str:
    phrase = PHRASES.get(html.unescape(found[2]))
    if phrase is None:
        return found[0]
    return (
        f'{found[1]}<tspan lang="en">{html.escape(phrase.en)}</tspan>'
        f'<tspan lang="ko">{html.escape(phrase.ko)}</tspan></text>'
    )
