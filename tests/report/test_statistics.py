"""Against SciPy, scikit-learn, brute force, and worlds whose truth is known."""

import numpy as np
import pytest
from scipy import special, stats

from taesan.report.statistics import (
    calibration,
    compare_paired,
    digamma,
    drawn,
    holm,
    interaction,
    inverse_trigamma,
    moderate,
    trigamma,
)

SEEDS = 3


def world(random, *, seeds=SEEDS, items=200, spread=0.05, level=0.75) -> tuple[np.ndarray, float]:
    """Right or wrong (seeds, items) of one technique: items differ, seeds differ, and the two mix."""
    difficulty = random.normal(0, 0.9, items)
    moved = random.normal(0, spread, seeds)
    luck = random.normal(0, 1, (seeds, items))
    threshold = stats.norm.ppf(level) * np.sqrt(1 + 0.9**2 + (3 * spread) ** 2)
    return (difficulty + luck < threshold + 3 * moved[:, None]).astype(float), level


def scored(right: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Means (S,), and those of bootstrap samples of the items (S, R)."""
    items = right.shape[1]
    times = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), 300)
    return right.mean(axis=1), right @ times.T / items


def test_gamma_functions() -> None:
    x = np.array([1e-3, 0.1, 0.5, 1.0, 2.5, 11.9, 400.0])
    np.testing.assert_allclose(digamma(x), special.digamma(x), rtol=1e-9)
    np.testing.assert_allclose(trigamma(x), special.polygamma(1, x), rtol=1e-9)
    for value in (0.01, 0.5, 3.0, 80.0):
        assert float(trigamma(np.array(inverse_trigamma(value)))) == pytest.approx(value, rel=1e-9)


def test_variances_lend_each_other_what_they_know() -> None:
    random = np.random.default_rng(1)
    alike = 0.01 * random.chisquare(2, 400) / 2
    noise = moderate(list(alike), [2] * 400, [100] * 400)
    assert np.var(np.log(noise.variance)) < np.var(np.log(alike)) / 8  # alike: drawn together, each keeping a third
    assert noise.freedom.min() == 6
    apart = 10 ** random.uniform(-6, 0, 400) * random.chisquare(2, 400) / 2
    noise = moderate(list(apart), [2] * 400, [100] * 400)
    assert noise.freedom.max() < 4  # nothing in common: each is left with its own
    assert np.corrcoef(np.log(noise.variance), np.log(apart))[0, 1] > 0.9


def test_what_was_not_drawn_has_no_variance() -> None:
    noise = moderate([0.0, 0.01, 0.02, 0.012, 0.0], [2, 2, 2, 2, 0], [100] * 5)
    assert noise.variance[0] == 0
    assert 0.005 < noise.variance[4] < 0.03  # a single seed: what the others have in common
    assert moderate([0.0, 0.0], [0, 0], [8, 8]).variance.tolist() == [0, 0]


def test_beyond_the_rows_that_have_seeds_the_variance_falls() -> None:
    """What is known of small samples is not all there is to know of large ones: less, and less surely."""
    random = np.random.default_rng(3)
    own, rows = random.chisquare(2, 40) / 2, [8] * 20 + [32] * 20
    noise = moderate([*own, 0.0, 0.0, 0.0], [2] * 40 + [0] * 3, [*rows, 8, 512, 8192])
    near, far, farther = noise.variance[-3:]
    assert near == pytest.approx(1, rel=0.5)
    assert near > far > farther > 0
    assert noise.freedom[-3] > noise.freedom[-2] > noise.freedom[-1] >= 1
    steep = moderate([*own[:20], *own[20:] / 100, 0.0], [2] * 40 + [0], [*rows, 512]).variance[-1]
    assert steep < far / 10  # the fall that is seen counts for more than the one that is expected


def test_the_interaction_is_what_items_give_each_seed_apart() -> None:
    random = np.random.default_rng(2)
    common, own = random.normal(0, 1, 5000), random.normal(0, 2, (SEEDS, 5000))
    assert interaction(common + own) == pytest.approx(4, rel=0.1)
    assert interaction(np.stack([common] * 3)) == 0


def covers(make, trials: int, seed: int) -> float:
    """How often the 95% intervals of a few cells each, drawn and moderated together, hold the truth."""
    random, held = np.random.default_rng(seed), []
    for _ in range(trials):
        cells = [make(random) for _ in range(6)]
        scores = [scored(right) for right, _ in cells]
        noise = moderate([one.var(ddof=1) for one, _ in scores], [SEEDS - 1] * 6, [100] * 6)
        for place, ((_, samples), (_, truth)) in enumerate(zip(scores, cells, strict=True)):
            values = drawn(samples, float(noise.variance[place]), float(noise.freedom[place]), random)
            low, high = np.percentile(values, [2.5, 97.5])
            held.append(low <= truth <= high)
    return float(np.mean(held))


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_intervals_hold_the_truth(spread) -> None:
    """Nominal 95%; the benchmark has the exact figures."""
    assert 0.91 < covers(lambda random: world(random, spread=spread), 40, 3) <= 1


def test_false_alarms_are_as_rare_as_promised() -> None:
    random, alarms = np.random.default_rng(4), []
    for _ in range(60):
        difficulty = random.normal(0, 0.9, 200)
        rights = []
        for _ in range(4):  # four techniques, none better than another
            moved = random.normal(0, 0.04, SEEDS)
            rights.append((difficulty + random.normal(0, 1, (SEEDS, 200)) < 0.9 + moved[:, None]).astype(float))
        pairs = [(i, j) for i in range(4) for j in range(i)]
        scores = [scored(one) for one in rights]
        noise = moderate(
            [(scores[i][0] - scores[j][0]).var(ddof=1) for i, j in pairs], [SEEDS - 1] * len(pairs), [100] * len(pairs)
        )
        found = [
            compare_paired(
                scores[i][0],
                scores[j][0],
                scores[i][1] - scores[j][1],
                (float(noise.variance[place]), float(noise.freedom[place])),
                random,
            )[1]
            for place, (i, j) in enumerate(pairs)
        ]
        alarms.append(min(holm(found)) < 0.05)
    assert np.mean(alarms) < 0.12  # of the whole family


def test_a_real_difference_is_found() -> None:
    random = np.random.default_rng(5)
    better, _ = world(random, items=500, level=0.85, spread=0.005)
    worse, _ = world(random, items=500, level=0.75, spread=0.005)
    (one, samples), (other, others) = scored(better), scored(worse)
    difference, p = compare_paired(one, other, samples - others, (1e-4, 5.0), random)
    assert p < 0.01
    assert difference.low < 0.1 < difference.high + 0.05


def test_holm_by_its_definition() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    random = np.random.default_rng(6)
    for _ in range(50):
        values = random.random(7)
        # The largest factor that still rejects, one hypothesis at a time.
        expected = []
        for i in range(7):
            below = [max(values[j] * (7 - rank) for rank, j in enumerate(np.argsort(values)) if values[j] <= values[i])]
            expected.append(min(1.0, below[0]))
        assert holm(list(values)) == pytest.approx(expected)


def test_calibration_by_brute_force() -> None:
    random = np.random.default_rng(7)
    claims = np.stack([np.arange(500), random.random(500), random.integers(0, 2, 500)], axis=1)
    claims[0, 1], claims[1, 1] = 0.0, 1.0
    found = calibration(claims, 10)
    error = 0.0
    for number in range(10):
        inside = [one for one in claims if number / 10 < one[1] <= (number + 1) / 10 or (number == 0 and one[1] == 0)]
        if inside:
            error += abs(sum(one[1] for one in inside) - sum(one[2] for one in inside)) / 500
    assert found is not None
    assert found.error == pytest.approx(error)
    assert found.count.sum() == 500
    assert calibration(np.zeros((0, 3)), 10) is None
