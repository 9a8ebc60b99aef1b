"""The statistics of `compare`'s report in worlds whose truth is known: do intervals hold it, are alarms rare?

    python benchmarks/report_statistics.py --simulations 2000 --output benchmarks/results/report-statistics.json

A world has test items of different difficulty, seeds that differ, and techniques that meet both: an answer is right
where difficulty and luck together stay below a threshold that the seed moves. In each simulation six cells of three
seeds are drawn, as a small comparison has them, and their intervals are made as the report makes them (`moderated`), by
a hierarchical bootstrap of percentiles (`percentile`: seeds, then items, resampled), and from the items of all seeds
alone (`items only`). For the paired test all techniques are equally good, so that every alarm is false. For curves,
noisy points of two known curves are fitted, and the interval of their crossing is looked at.

Where a budget ends before the second seed has met every size, what seeds add to a cell of one seed is taken from the
others: four techniques have two seeds at the largest three of five sizes, or at the smallest, in worlds where the
spread between seeds falls with rows, and in worlds where it does not.
"""

import argparse
import math
from itertools import combinations
from statistics import NormalDist

import numpy as np

from measure import table, write_json
from taesan.report.curves import crossover, fit_curve
from taesan.report.statistics import compare_paired, drawn, holm, moderate

SEEDS, CELLS, ITEMS, DRAWS = 3, 6, 300, 400
SPREADS = {"no seed noise": (0.0,), "2 points": (0.06,), "4 points": (0.12,), "1 to 8 points": (0.03, 0.06, 0.12, 0.24)}
DIFFICULTY = 0.9
CURVES = {
    "steep over flat": ((0.08, 4.0, 0.65, 0.0), (0.22, 0.5, 0.5, 0.0)),
    "late start": ((0.10, 5.0, 0.70, 40.0), (0.20, 0.6, 0.40, 4.0)),
    "beyond the largest": ((0.05, 3.0, 0.35, 0.0), (0.24, 0.6, 0.5, 0.0)),
}
SIZES = (8, 32, 128, 512, 2048)
TECHNIQUES = 4
FALLS = {"falls": 0.25, "stays": 0.0, "falls fast": 0.5}  # spread by rows to the minus that
TWICE = {"largest": (128, 512, 2048), "smallest": (8, 32, 128)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--output", help="JSON of all figures")
    arguments = parser.parse_args()
    random = np.random.default_rng(7)
    coverage = {name: _coverage(random, spreads, arguments.simulations) for name, spreads in SPREADS.items()}
    kinds = ("moderated", "percentile", "items only")
    shown = [
        table(
            ("seeds differ by", *kinds),
            [(name, *(f"{100 * one[kind]:.1f}" for kind in kinds)) for name, one in coverage.items()],
        )
    ]
    alarms = {name: _alarms(random, spreads, arguments.simulations) for name, spreads in SPREADS.items()}
    shown.append(
        table(
            ("seeds differ by", "one test", "any of 15, Holm", "any of 15, uncorrected"),
            [(name, *(f"{100 * value:.1f}" for value in one.values())) for name, one in alarms.items()],
        )
    )
    crossings = {name: _crossings(random, *curves, arguments.simulations // 4) for name, curves in CURVES.items()}
    shown.append(
        table(
            ("curves", "truth", "median found", "interval holds it, %"),
            [
                (name, f"{one['truth']:.0f}", f"{one['median']:.0f}", f"{100 * one['held']:.1f}")
                for name, one in crossings.items()
            ],
        )
    )
    short = {
        (fall, twice): _cut_short(random, FALLS[fall], TWICE[twice], arguments.simulations // 10)
        for fall in FALLS
        for twice in TWICE
    }
    shown.append(
        table(
            ("spread", "two seeds at the", "by rows: holds, half width", "all alike: holds, half width"),
            [
                (*names, *(f"{100 * held:.1f}, {100 * half:.1f}" for held, half in one.values()))
                for names, one in short.items()
            ],
        )
    )
    print("\n\n".join(shown))
    found = {"simulations": arguments.simulations, "coverage": coverage, "alarms": alarms, "crossings": crossings}
    found["cut_short"] = {", ".join(names): one for names, one in short.items()}
    write_json(arguments.output, found)


def _right(
    random: np.random.Generator, difficulty: np.ndarray, spread: float, level: float, seeds: int = SEEDS
) -> np.ndarray:
    """(S, N); the chance of right, over all that is drawn, is `level`."""
    moved = random.normal(0, spread, (seeds, 1)) if spread else np.zeros((seeds, 1))
    threshold = NormalDist().inv_cdf(level) * math.sqrt(1 + DIFFICULTY**2 + spread**2)
    return (difficulty + random.normal(0, 1, (seeds, len(difficulty))) < threshold + moved).astype(float)


def _drawn_items(random: np.random.Generator) -> np.ndarray:
    return random.multinomial(ITEMS, np.full(ITEMS, 1 / ITEMS), DRAWS) / ITEMS


def _coverage(random: np.random.Generator, spreads: tuple[float, ...], simulations: int) -> dict[str, float]:
    held: dict[str, list[bool]] = {"moderated": [], "percentile": [], "items only": []}
    for _ in range(simulations // CELLS):
        difficulty, times = random.normal(0, DIFFICULTY, ITEMS), _drawn_items(random)
        levels = np.linspace(0.6, 0.9, CELLS)
        cells = [_right(random, difficulty, spreads[i % len(spreads)], level) for i, level in enumerate(levels)]
        noise = moderate([float(one.mean(axis=1).var(ddof=1)) for one in cells], [SEEDS - 1] * CELLS, [100] * CELLS)
        for place, (one, level) in enumerate(zip(cells, levels, strict=True)):
            samples = one @ times.T  # (S, R)
            chosen = random.integers(0, SEEDS, (DRAWS, SEEDS))
            made = {
                "moderated": drawn(samples, float(noise.variance[place]), float(noise.freedom[place]), random),
                "percentile": samples.T[np.arange(DRAWS)[:, None], chosen].mean(axis=1),
                "items only": samples.mean(axis=0),
            }
            for name, values in made.items():
                low, high = np.percentile(values, [2.5, 97.5])
                held[name].append(bool(low <= level <= high))
    return {name: float(np.mean(one)) for name, one in held.items()}


def _cut_short(
    random: np.random.Generator, fall: float, twice: tuple[int, ...], simulations: int
) -> dict[str, tuple[float, float]]:
    """Of the cells with one seed: how often the interval holds the truth, and half its mean width."""
    found: dict[str, list[tuple[bool, float]]] = {"by rows": [], "all alike": []}
    for _ in range(simulations):
        difficulty, times = random.normal(0, DIFFICULTY, ITEMS), _drawn_items(random)
        sizes = [size for size in SIZES for _ in range(TECHNIQUES)]
        levels = [0.6 + 0.3 * SIZES.index(size) / len(SIZES) for size in sizes]
        cells = [
            _right(random, difficulty, 0.12 * (size / 8) ** -fall, level, 2 if size in twice else 1)
            for size, level in zip(sizes, levels, strict=True)
        ]
        variances = [float(one.mean(axis=1).var(ddof=1)) if len(one) > 1 else 0.0 for one in cells]
        for name, rows in {"by rows": sizes, "all alike": [1] * len(sizes)}.items():
            noise = moderate(variances, [len(one) - 1 for one in cells], rows)
            for place, (one, level) in enumerate(zip(cells, levels, strict=True)):
                if len(one) == 1:
                    values = drawn(one @ times.T, float(noise.variance[place]), float(noise.freedom[place]), random)
                    low, high = np.percentile(values, [2.5, 97.5])
                    found[name].append((bool(low <= level <= high), float(high - low) / 2))
    return {name: (float(np.mean(one, axis=0)[0]), float(np.mean(one, axis=0)[1])) for name, one in found.items()}


def _alarms(random: np.random.Generator, spreads: tuple[float, ...], simulations: int) -> dict[str, float]:
    alone, family, uncorrected = [], [], []
    for _ in range(simulations):
        difficulty, times = random.normal(0, DIFFICULTY, ITEMS), _drawn_items(random)
        cells = [_right(random, difficulty, spreads[i % len(spreads)], 0.75) for i in range(CELLS)]
        samples = [one @ times.T for one in cells]
        pairs = list(combinations(range(CELLS), 2))
        means = [one.mean(axis=1) for one in cells]
        noise = moderate(
            [float((means[i] - means[j]).var(ddof=1)) for i, j in pairs], [SEEDS - 1] * len(pairs), [100] * len(pairs)
        )
        found = [
            compare_paired(
                means[i],
                means[j],
                samples[i] - samples[j],
                (float(noise.variance[place]), float(noise.freedom[place])),
                random,
            )[1]
            for place, (i, j) in enumerate(pairs)
        ]
        alone.append(found[0] < 0.05)
        family.append(min(holm(found)) < 0.05)
        uncorrected.append(min(found) < 0.05)
    return {"one": float(np.mean(alone)), "holm": float(np.mean(family)), "any": float(np.mean(uncorrected))}


def _crossings(
    random: np.random.Generator, one: tuple[float, ...], other: tuple[float, ...], simulations: int
) -> dict[str, float]:
    """Points with a noise of one point, as three seeds and some hundred items leave."""
    noise, held, rows = 0.01, [], []
    places = np.geomspace(SIZES[0], 10 * SIZES[-1], 100_000)
    truth = float(places[np.flatnonzero(_power(places, *one) >= _power(places, *other))[-1]])
    for _ in range(simulations):
        curves = []
        for parameters in (one, other):
            values = _power(np.array(SIZES, dtype=float), *parameters) + random.normal(0, noise, len(SIZES))
            errors = np.concatenate([values[None], values + random.normal(0, noise, (DRAWS, len(SIZES)))])
            curves.append(fit_curve(SIZES, errors, np.full(len(SIZES), noise**2)))
        found = crossover("one", "other", *curves, SIZES[0], (SIZES[-1], SIZES[-1]))
        held.append(found.low <= truth <= found.high)
        rows.append(found.rows)
    return {"truth": truth, "median": float(np.median(rows)), "held": float(np.mean(held))}


def _power(rows: np.ndarray, a: float, b: float, c: float, d: float) -> np.ndarray:
    return a + b * (rows + d) ** -c


if __name__ == "__main__":
    main()
