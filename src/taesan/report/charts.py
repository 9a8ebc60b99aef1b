"""What the page shows as charts, and the colours that they and the tables share. matplotlib is loaded here alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from taesan.report.findings import Findings, Technique
from taesan.report.mistakes import Mistakes

COLOURS = 8  # of the page's style


@dataclass(frozen=True)
class Charts:
    """SVG by what it shows, empty where there is nothing to show; `colours` of the techniques by name."""

    colours: Mapping[str, str]
    drawn: bool = False
    curves: Mapping[str, str] = field(default_factory=dict[str, str])  # by backbone
    cost: str = ""
    reliability: Mapping[str, str] = field(default_factory=dict[str, str])  # by technique
    confusion: str = ""
    timeline: str = ""


def colour_numbers(techniques: Sequence[Technique]) -> dict[Technique, int]:
    """A colour for each method: its number in the page's style."""
    methods = sorted({one.method for one in techniques})
    return {one: methods.index(one.method) % COLOURS for one in techniques}


def draw_charts(findings: Findings, mistakes: Mistakes) -> Charts:
    """All of them; the colours alone where matplotlib is not installed."""
    colours = {one.name: f"var(--c{number})" for one, number in colour_numbers(findings.techniques).items()}
    if find_spec("matplotlib") is None:
        return Charts(colours)
    from taesan.report import drawing  # noqa: PLC0415  an extra

    backbones = list(dict.fromkeys(one.backbone for one in findings.techniques if one.backbone))
    if findings.techniques and not backbones:
        backbones = [""]
    # What has no backbone, a baseline, is beside all that have.
    panels = {one: [own for own in findings.techniques if own.backbone in (one, "")] for one in backbones}
    return Charts(
        colours,
        True,
        {one: drawing.learning_curves(findings, own) for one, own in panels.items()},
        drawing.cost_chart(findings),
        {one.name: drawing.reliability(findings, one) for one in findings.calibrations},
        drawing.confusion(mistakes),
        drawing.timeline(findings),
    )
