from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import kstest, norm, poisson

from skhep_ml.anomaly import bump_hunt
from skhep_ml.anomaly._dijet import fit_dijet
from skhep_ml.datasets import make_resonance_search
from skhep_ml.metrics import asimov_significance, ks_2samp_weighted

REGION = (3300.0, 3700.0)


def dijet(m, p0, p1, p2):
    return np.exp(p0) * (1 - m / 13_000) ** p1 * (m / 13_000) ** p2


def counts(n, rng, edges):
    mean = np.array([quad(dijet, a, b, (0, 8, -4))[0] for a, b in pairwise(edges)])
    return rng.poisson(n * mean / mean.sum()), n * mean / mean.sum()


def test_fit_is_the_maximum_of_the_poisson_likelihood():
    edges = np.linspace(2700, 5500, 30)
    n, _ = counts(3000, np.random.default_rng(0), edges)
    used = np.ones(29, dtype=bool)
    used[6:10] = False
    fit = fit_dijet(edges, n, n, used, n_parameters=3, energy=13_000.0)
    mean, covariance = fit.expected(edges)

    def minus_log_likelihood(p):
        expected = [quad(dijet, a, b, tuple(p))[0] for a, b in pairwise(edges)]
        return -poisson.logpmf(n[used], np.array(expected)[used]).sum()

    start = (np.log(3000 / 2800) - 8, 8.0, -4.0)
    best = minimize(minus_log_likelihood, start, method="Nelder-Mead", tol=1e-9)
    found = -poisson.logpmf(n[used], mean[used]).sum()
    assert found <= best.fun + 1e-6
    assert found == pytest.approx(best.fun, abs=0.01)
    assert fit.scale == 1
    assert np.sum((n - mean)[used]) == pytest.approx(0, abs=1e-4)  # the normalisation is free
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


@pytest.mark.parametrize("signed", [False, True])
def test_background_and_its_error_by_pseudo_experiments(signed):
    edges = np.linspace(2700, 5500, 29)
    centres = (edges[1:] + edges[:-1]) / 2
    window = (centres > 3300) & (centres < 3700)
    rng = np.random.default_rng(1)
    pulls, chances = [], []
    for _ in range(80):
        n, mean = counts(4000, rng, edges)
        squares = n
        if signed:  # a fifth of negative weights: sums of the same mean, larger variance
            minus = rng.poisson(mean / 3)
            n, squares = rng.poisson(4 * mean / 3) - minus, n + 0
            squares = np.abs(n) + 2 * minus
        fit = fit_dijet(edges, n, squares, ~window, n_parameters=3, energy=13_000.0)
        expected, covariance = fit.expected(edges)
        std = np.sqrt(covariance[np.ix_(window, window)].sum())
        pulls.append((expected[window].sum() - mean[window].sum()) / std)
        chances.append(fit.pvalue)
    assert np.mean(pulls) == pytest.approx(0, abs=0.3)
    assert np.std(pulls) == pytest.approx(1, abs=0.2)
    assert kstest(chances, "uniform").pvalue > 1e-3


def test_local_significance_is_that_of_a_normal():
    rng = np.random.default_rng(2)
    z = []
    for seed in range(40):
        mass = make_resonance_search(4000, signal_fraction=0.0, random_state=seed).data[:, -1]
        hunt = bump_hunt(mass, rng.normal(size=4000), signal_region=REGION, efficiency=0.3)
        z += [hunt.before.significance, hunt.after.significance]
    # deficits give 0; the rest is the upper half of a normal
    above = np.array(z)[np.array(z) > 0]
    assert len(above) / len(z) == pytest.approx(0.5, abs=0.12)
    assert kstest(above, lambda x: 2 * norm.cdf(x) - 1).pvalue > 0.01


def test_result_adds_up():
    events = make_resonance_search(20_000, signal_fraction=0.01, random_state=0)
    mass, score = events.data[:, -1].astype(np.float64), events.log_likelihood_ratio
    hunt = bump_hunt(mass, score, signal_region=events.signal_region, efficiency=0.02, bins=30)
    passes = score >= hunt.cut
    assert hunt.efficiency == np.mean(passes) == pytest.approx(0.02, abs=1e-3)
    region = (mass >= 3300) & (mass < 3700)
    for part, chosen in ((hunt.before, np.ones(len(mass), dtype=bool)), (hunt.after, passes)):
        assert part.observed == np.count_nonzero(region & chosen)
        np.testing.assert_array_equal(part.values, np.histogram(mass[chosen], part.edges)[0])
        np.testing.assert_allclose(part.errors**2, part.values)
        assert np.isin(events.signal_region, part.edges).all()
        centres = (part.edges[1:] + part.edges[:-1]) / 2
        np.testing.assert_array_equal(part.fitted, (centres < 3300) | (centres >= 3700))
        assert part.expected == pytest.approx(part.background[~part.fitted].sum())
        expected = asimov_significance(
            part.observed - part.expected, part.expected, part.expected_std
        )
        assert part.significance == pytest.approx(expected)
        assert part.n_dof == part.fitted.sum() - 3
    assert hunt.after.significance > hunt.before.significance + 3
    side = ~region
    assert hunt.ks == ks_2samp_weighted(mass[side & passes], mass[side & ~passes])
    again = bump_hunt(mass, score, signal_region=events.signal_region, cut=hunt.cut, bins=30)
    assert again.after.significance == hunt.after.significance


def test_unit_of_mass_and_weight_do_not_matter():
    events = make_resonance_search(10_000, signal_fraction=0.01, random_state=1)
    mass, score = events.data[:, -1].astype(np.float64), events.log_likelihood_ratio
    gev = bump_hunt(mass, score, signal_region=REGION, efficiency=0.05)
    tev = bump_hunt(
        mass / 1000,
        score,
        signal_region=(3.3, 3.7),
        efficiency=0.05,
        energy=13.0,
        sample_weight=np.full(10_000, 0.25),
    )
    assert tev.after.significance == pytest.approx(gev.after.significance, rel=1e-6)
    assert tev.after.expected == pytest.approx(gev.after.expected / 4, rel=1e-6)
    assert tev.before.pvalue == pytest.approx(gev.before.pvalue, rel=1e-6)


def test_negative_weights_cost_significance_and_do_not_bias():
    events = make_resonance_search(
        10_000, signal_fraction=0.03, negative_fraction=0.2, random_state=2
    )
    mass, score = events.data[:, -1].astype(np.float64), events.log_likelihood_ratio
    options = {"signal_region": REGION, "efficiency": 0.03}
    signed = bump_hunt(mass, score, sample_weight=events.weight, **options)
    plain = bump_hunt(mass, score, **options)
    assert signed.after.expected == pytest.approx(
        plain.after.expected, abs=4 * signed.after.expected_std
    )
    assert 5 < signed.after.significance < plain.after.significance


def test_sculpting_is_seen():
    events = make_resonance_search(20_000, signal_fraction=0.0, random_state=3)
    mass = events.data[:, -1].astype(np.float64)
    noise = np.random.default_rng(0).normal(size=len(mass))
    blind = bump_hunt(mass, noise, signal_region=REGION, efficiency=0.1)
    knows = bump_hunt(
        mass, noise - 3 * np.abs(mass / 3500 - 1), signal_region=REGION, efficiency=0.1
    )
    assert blind.sculpting.value < blind.sculpting.bias + 4 * blind.sculpting.std
    assert knows.sculpting.value > knows.sculpting.bias + 4 * knows.sculpting.std
    assert knows.ks.pvalue < 1e-3 < blind.ks.pvalue


def test_given_edges_and_sidebands():
    mass = make_resonance_search(5000, signal_fraction=0.0, random_state=4).data[:, -1]
    score = np.random.default_rng(1).normal(size=5000)
    edges = np.array([2800, 2900, 3000, 3100, 3200, 3300, 3500, 3700, 3900, 4100, 4500])
    options = {"signal_region": REGION, "sidebands": ((2800, 3200), (3700, 4500))}
    hunt = bump_hunt(mass, score, bins=edges, efficiency=0.5, **options)
    assert hunt.before.fitted.tolist() == [True] * 4 + [False] * 3 + [True] * 3
    assert hunt.before.values.sum() == np.count_nonzero((mass >= 2800) & (mass <= 4500))
    other = bump_hunt(mass, score, bins=20, efficiency=0.5, **options)
    assert {2800, 3200, 3300, 3700, 4500} <= set(other.before.edges)


def test_bad_input():
    mass = make_resonance_search(2000, random_state=0).data[:, -1].astype(np.float64)
    score = np.arange(2000.0)
    good = {"signal_region": REGION}
    with pytest.raises(ValueError, match="score has 10 entries, but mass has 2000"):
        bump_hunt(mass, score[:10], **good)
    with pytest.raises(ValueError, match=r"no event in the signal region \[9000, 9500\)"):
        bump_hunt(mass, score, signal_region=(9000, 9500))
    with pytest.raises(ValueError, match=r"no event in the upper sideband \[6000, 7000\)"):
        bump_hunt(mass, score, sidebands=((2700, 3300), (6000, 7000)), **good)
    with pytest.raises(ValueError, match=r"in the lower sideband .* positive sum"):
        bump_hunt(mass, score, sample_weight=np.where(mass < 3300, -1.0, 1.0), **good)
    with pytest.raises(ValueError, match="give the centre-of-mass energy"):
        bump_hunt(mass, score, energy=13.0, **good)
    with pytest.raises(ValueError, match="n_parameters must be 3, 4 or 5"):
        bump_hunt(mass, score, n_parameters=2, **good)
    with pytest.raises(ValueError, match="give one of them"):
        bump_hunt(mass, score, efficiency=0.1, cut=3.0, **good)
    with pytest.raises(ValueError, match=r"efficiency must lie in \(0, 1\), got 0"):
        bump_hunt(mass, score, efficiency=0, **good)
    with pytest.raises(ValueError, match="no event of the sidebands passes the cut"):
        bump_hunt(mass, score, cut=1e9, **good)
    with pytest.raises(ValueError, match="no event of the sidebands fails the cut"):
        bump_hunt(mass, score, cut=-1.0, **good)
    with pytest.raises(ValueError, match="must be among the edges of bins"):
        bump_hunt(mass, score, bins=[2700, 3000, 4000, 5500], **good)
    with pytest.raises(ValueError, match="cannot fix 3 parameters"):
        bump_hunt(mass, score, bins=[2700, 3300, 3700, 5500], **good)
    mass[7] = np.nan
    with pytest.raises(ValueError, match="mass is NaN or infinite in 1 events, first in event 7"):
        bump_hunt(mass, score, **good)
