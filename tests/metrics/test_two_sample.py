import numpy as np
import pytest
from scipy import stats

from skhep_ml.metrics import ks_2samp_weighted


def test_counts_equal_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=500).round(1), rng.normal(0.1, size=400).round(1)
    result = ks_2samp_weighted(a, b)
    expected = stats.ks_2samp(a, b, method="asymp")
    assert result.statistic == pytest.approx(expected.statistic, abs=1e-12)
    # scipy corrects the asymptotic formula for the finite sample
    assert result.pvalue == pytest.approx(expected.pvalue, rel=0.1)


def test_integer_weights_repeat_events():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=100), rng.normal(0.3, size=80)
    copies = rng.integers(1, 4, 100)
    weighted = ks_2samp_weighted(a, b, weight1=copies)
    assert weighted.statistic == pytest.approx(
        ks_2samp_weighted(np.repeat(a, copies), b).statistic, abs=1e-12
    )


@pytest.mark.parametrize("signed", [False, True])
def test_unit_order_and_sides_do_not_matter(signed):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=100), rng.normal(size=150)
    wa, wb = rng.exponential(size=100), rng.exponential(size=150)
    if signed:
        wa[:20] *= -1
        wb[:30] *= -1
    options = {"n_permutations": 50}
    first = ks_2samp_weighted(a, b, weight1=wa, weight2=wb, **options)
    order = rng.permutation(100)
    second = ks_2samp_weighted(a[order], b, weight1=5 * wa[order], weight2=0.1 * wb, **options)
    third = ks_2samp_weighted(b, a, weight1=wb, weight2=wa, **options)
    assert first.statistic == pytest.approx(second.statistic, rel=1e-12)
    assert first.statistic == pytest.approx(third.statistic, rel=1e-12)
    if not signed:
        assert first.pvalue == pytest.approx(second.pvalue, rel=1e-9)


def test_signed_statistic_by_definition():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=40).round(1), rng.normal(size=30).round(1)
    wa, wb = rng.normal(1, 1, 40), rng.normal(1, 1, 30)
    result = ks_2samp_weighted(a, b, weight1=wa, weight2=wb, n_permutations=10)
    distances = [
        abs(wa[a <= x].sum() / wa.sum() - wb[b <= x].sum() / wb.sum()) for x in np.r_[a, b]
    ]
    assert result.statistic == pytest.approx(max(distances), rel=1e-12)


@pytest.mark.parametrize("signed", [False, True])
def test_pvalues_under_the_null_are_uniform(signed):
    rng = np.random.default_rng(4)
    pvalues = []
    for _ in range(100):
        a, b = rng.normal(size=150), rng.normal(size=100)
        wa, wb = rng.exponential(size=150), rng.exponential(size=100)
        if signed:
            # signs that depend on the value, alike in both samples
            wa *= np.where(rng.random(150) < np.where(a > 0, 0.3, 0.1), -1, 1)
            wb *= np.where(rng.random(100) < np.where(b > 0, 0.3, 0.1), -1, 1)
        pvalues.append(ks_2samp_weighted(a, b, weight1=wa, weight2=wb, n_permutations=49).pvalue)
    pvalues = np.array(pvalues)
    assert stats.kstest(pvalues, "uniform").pvalue > 0.01


def test_difference_is_found_with_signed_weights():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=600), rng.normal(0.5, size=600)
    weight = np.where(rng.random(600) < 0.1, -1.0, 1.0)
    result = ks_2samp_weighted(a, b, weight1=weight, weight2=weight, n_permutations=199)
    assert result.pvalue == pytest.approx(1 / 200)


def test_permutations_are_seeded():
    rng = np.random.default_rng(6)
    a, b, weight = rng.normal(size=50), rng.normal(size=50), rng.normal(1, 1, 50)
    one, two = (
        ks_2samp_weighted(a, b, weight1=weight, random_state=7, n_permutations=50) for _ in range(2)
    )
    assert one == two


def test_infinite_values_are_ordered():
    result = ks_2samp_weighted([-np.inf, 0.0, np.inf], [-np.inf, 0.0, np.inf])
    assert result == (0.0, 1.0)


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (([np.nan], [1.0]), {}, "sample1 is NaN"),
        (([], [1.0]), {}, "sample1 is empty"),
        (([1.0, 2.0], [1.0]), {"weight1": [1.0]}, "weight1 has 1 entries"),
        (([1.0, 2.0], [1.0]), {"weight1": [1.0, -1.0]}, "sum to 0"),
    ],
)
def test_bad_input(args, options, message):
    with pytest.raises(ValueError, match=message):
        ks_2samp_weighted(*args, **options)
