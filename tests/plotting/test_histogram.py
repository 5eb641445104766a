import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.plotting._histogram import feature_edges, histogram, score_edges


def slow_histogram(values, edges, weight):
    sums, squares = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for value, w in zip(values, weight, strict=True):
        k = 0
        while k < len(edges) - 2 and value >= edges[k + 1]:
            k += 1
        sums[k] += w
        squares[k] += w * w
    return sums, np.sqrt(squares)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([-np.inf, -1.0, 0.0, 0.3, 0.5, 1.0, 7.0, np.inf]), st.floats(-5, 5)
        ),
        min_size=1,
        max_size=30,
    )
)
def test_histogram_is_the_slow_one(pairs):
    values, weight = (np.array(column) for column in zip(*pairs, strict=True))
    edges = np.array([0.0, 0.3, 0.5, 1.0])
    filled = histogram(values, edges, weight)
    sums, errors = slow_histogram(values, edges, weight)
    np.testing.assert_allclose(filled.values, sums, atol=1e-12)
    np.testing.assert_allclose(filled.errors, errors, atol=1e-12)
    # nothing is lost
    np.testing.assert_allclose(filled.values.sum(), weight.sum(), atol=1e-12)


def test_counts_have_poisson_errors():
    filled = histogram(np.array([0.1, 0.2, 0.9]), np.array([0.0, 0.5, 1.0]), None)
    assert filled.values.tolist() == [2.0, 1.0]
    np.testing.assert_allclose(filled.errors, np.sqrt([2.0, 1.0]))


def test_density_error_is_that_of_a_share():
    rng = np.random.default_rng(0)
    values, weight = rng.random(50), rng.normal(1.0, 1.0, 50)
    edges = np.array([0.0, 0.2, 0.7, 1.0])
    density = histogram(values, edges, weight).density("some")
    np.testing.assert_allclose((density.values * np.diff(edges)).sum(), 1.0)
    for k in range(3):
        passing = (values >= edges[k]) & (values < edges[k + 1])
        share = weight[passing].sum() / weight.sum()
        error = np.sqrt((weight**2 * (passing - share) ** 2).sum()) / weight.sum()
        width = edges[k + 1] - edges[k]
        np.testing.assert_allclose(density.values[k], share / width)
        np.testing.assert_allclose(density.errors[k], error / width)


def test_density_needs_a_positive_sum():
    filled = histogram(np.array([0.1, 0.9]), np.array([0.0, 0.5, 1.0]), np.array([1.0, -2.0]))
    with pytest.raises(ValueError, match="weights of the strange events sum to -1"):
        filled.density("strange")


def test_score_edges_take_unit_interval_for_probabilities():
    np.testing.assert_allclose(score_edges(np.array([0.1, 0.95]), 4), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(score_edges(np.array([0.1, 0.2]), 2), [0.1, 0.15, 0.2])
    np.testing.assert_allclose(score_edges(np.array([-np.inf, -1.0, 3.0]), 2), [-1, 1, 3])
    np.testing.assert_allclose(score_edges(np.array([2.0, 2.0]), 1), [1.5, 2.5])


def test_feature_edges_know_integers_and_tails():
    np.testing.assert_allclose(feature_edges(np.array([0.0, 3.0]), 40), np.arange(-0.5, 4))
    values = np.append(np.linspace(0, 1, 1000), 1e6)
    edges = feature_edges(values, 40)
    assert len(edges) == 41
    assert edges[-1] < 1.0


@pytest.mark.parametrize("bins", [0, 2.5, [0.0], [0.0, 0.0, 1.0], [1.0, 0.0], [[0.0, 1.0]]])
def test_bad_bins_are_refused(bins):
    with pytest.raises(ValueError, match="bins must be a positive number of bins or rising edges"):
        score_edges(np.array([0.0, 1.0]), bins)
