"""Draws held-out bits per byte over a run: python recipes/plot.py docs/pretraining.svg RUN.json ...

A RUN.json is what `--extract` made of a run's log: python recipes/plot.py --extract runs/gpt-mini RUN.json
"""

import json
import sys
from pathlib import Path
from typing import Any


def extract(run: Path, target: Path) -> None:
    """Tokens seen and held-out scores at every validation."""
    config: dict[str, Any] = json.loads((run / "taesan.json").read_bytes())
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    a_step = config["config"]["train_tokens"] / config["steps"]
    points = [{"tokens": round(e["step"] * a_step), **e["validation"]} for e in log if "validation" in e]
    facts = {"objective": config["objective"], "continued": "backbone" in config, "points": points}
    target.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def draw(target: Path, sources: list[Path]) -> None:
    import matplotlib  # noqa: PLC0415

    matplotlib.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "taesan", "font.family": "sans-serif"}
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for source in sources:
        facts = json.loads(source.read_bytes())
        million = [point["tokens"] / 1e6 for point in facts["points"]]
        name = source.stem.removeprefix("pretraining-")
        label = f"{name}, {facts['objective']}" + (", second part" if facts["continued"] else "")
        axes.plot(million, [point["bits_per_byte"] for point in facts["points"]], marker="o", markersize=3, label=label)
    axes.set_xlabel("million tokens seen in this run")
    axes.set_ylabel("held-out bits per byte")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    if sys.argv[1] == "--extract":
        extract(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        draw(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
