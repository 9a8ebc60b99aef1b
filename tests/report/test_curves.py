"""Curves of known shape are found again, and where they cross."""

import numpy as np
import pytest
from scipy.optimize import brentq, curve_fit

from taesan.report.curves import crossover, fit_curve

SIZES = (8, 32, 128, 512, 2048)


def power(rows, a, b, c, d=0.0):
    return a + b * (np.asarray(rows, dtype=float) + d) ** -c


def fitted(truth, *, noise=0.0, samples=0, seed=1, sizes=SIZES):
    random = np.random.default_rng(seed)
    values = power(sizes, *truth) + random.normal(0, noise, len(sizes))
    errors = np.concatenate([values[None], values + random.normal(0, noise, (samples, len(sizes)))])
    return fit_curve(sizes, errors, np.full(len(sizes), max(noise, 1e-4) ** 2))


@pytest.mark.parametrize("truth", [(0.1, 1.2, 0.4), (0.05, 3.0, 0.7, 30.0), (0.3, 0.0, 1.0), (0.0, 0.9, 0.2)])
def test_a_curve_is_found_again(truth) -> None:
    found = fitted(truth)
    at = np.geomspace(8, 20_000, 50)
    np.testing.assert_allclose(found.errors(at)[0], power(at, *truth), atol=0.02)
    inside = at[at <= 2048]
    np.testing.assert_allclose(found.errors(inside)[0], power(inside, *truth), atol=0.004)


def test_it_is_no_worse_than_least_squares() -> None:
    random = np.random.default_rng(3)
    for _ in range(10):
        values = power(SIZES, 0.12, 1.5, 0.45) + random.normal(0, 0.01, len(SIZES))
        found = fit_curve(SIZES, values[None], np.full(len(SIZES), 1e-4)).errors(np.array(SIZES, dtype=float))[0]
        own, _ = curve_fit(power, SIZES, values, p0=(0.1, 1.0, 0.5), bounds=(0, [1, 10, 4]), maxfev=20_000)
        # The prior costs a little; three free parameters instead of four as well.
        assert ((found - values) ** 2).sum() < ((power(SIZES, *own) - values) ** 2).sum() + 6e-4


def test_few_sizes() -> None:
    assert fit_curve([100], np.array([[0.3], [0.2]]), np.array([1e-4])).errors(np.array([1.0, 1e6])).tolist() == [
        [0.3, 0.3],
        [0.2, 0.2],
    ]
    two = fit_curve([10, 1000], np.array([[0.4, 0.2]]), np.array([1e-6, 1e-6])).errors(np.array([10.0, 1000.0]))
    np.testing.assert_allclose(two, [[0.4, 0.2]], atol=1e-3)


def test_without_a_label_there_is_a_place_on_the_curve() -> None:
    found = fit_curve([0, 8, 32, 128], power([0, 8, 32, 128], 0.1, 1.0, 0.6, 5.0)[None], np.full(4, 1e-8))
    np.testing.assert_allclose(found.errors(np.array([0.0, 60.0]))[0], power([0, 60], 0.1, 1.0, 0.6, 5.0), atol=0.01)


def test_where_two_cross() -> None:
    steep, flat = (0.08, 4.0, 0.65), (0.22, 0.5, 0.5)
    truth = brentq(lambda rows: power(rows, *steep) - power(rows, *flat), 8, 20_000)
    found = crossover(
        "steep",
        "flat",
        fitted(steep, noise=0.008, samples=300),
        fitted(flat, noise=0.008, samples=300, seed=2),
        8,
        (2048, 2048),
    )
    assert found.low < truth < found.high
    assert found.rows == pytest.approx(truth, rel=0.5)
    assert not found.extrapolated
    exact = crossover("steep", "flat", fitted(steep), fitted(flat), 8, (2048, 2048))
    assert exact.rows == pytest.approx(truth, rel=0.15)


def test_from_the_start_and_never() -> None:
    low, high = fitted((0.1, 0.5, 0.5), samples=20, noise=0.001), fitted((0.3, 0.5, 0.5), samples=20, noise=0.001)
    assert crossover("low", "high", low, high, 8, (2048, 2048)).rows == 0
    assert crossover("high", "low", high, low, 8, (2048, 2048)).rows == np.inf


def test_beyond_what_was_measured_is_said() -> None:
    slow, fast = (0.05, 3.0, 0.35), (0.24, 0.6, 0.5)
    truth = brentq(lambda rows: power(rows, *slow) - power(rows, *fast), 8, 20_000)
    found = crossover("slow", "fast", fitted(slow), fitted(fast), 8, (2048, 2048))
    assert truth > 2048
    assert found.extrapolated
    assert found.rows == pytest.approx(truth, rel=0.5)
