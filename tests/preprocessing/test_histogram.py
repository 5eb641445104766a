import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skhep_ml.preprocessing._histogram import ValueHistogram, float_key, mid_quantile

floats = hnp.arrays(
    np.float32, st.integers(1, 50), elements=st.floats(width=32, allow_nan=False, allow_infinity=0)
)


@given(values=floats)
def test_keys_are_in_the_order_of_the_values(values):
    values = np.sort(values)
    keys = float_key(values).astype(np.int64)
    np.testing.assert_array_equal(np.sign(np.diff(keys)), np.sign(np.diff(values.astype(float))))


def test_both_zeros_have_one_key():
    assert np.unique(float_key(np.array([0.0, -0.0], np.float32))).tolist() == [0]


def histogram(values, weight):
    made = ValueHistogram.empty(values.min(axis=0), values.max(axis=0))
    made.add(values, weight)
    return made


@pytest.mark.parametrize("split", [1, 100, 4000])
def test_merged_chunks_equal_the_whole(split):
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(0, 1, 5000), 10 ** rng.uniform(-9, 9, 5000)])
    weight = rng.uniform(0.1, 1, 5000)
    whole = histogram(values, weight)
    parts = histogram(values[:split], weight[:split]).merge(
        histogram(values[split:], weight[split:])
    )
    for index in range(2):
        for mine, expected in zip(parts.column(index), whole.column(index), strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_moments_and_quantiles():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(0, 1, 20_000), rng.uniform(1000, 1001, 20_000)])
    weight = np.ones(20_000)
    made = histogram(values, weight)
    for index in range(2):
        centres, weights = made.column(index)
        assert weights.sum() == 20_000
        assert np.average(centres, weights=weights) == pytest.approx(values[:, index].mean())
        q = [0.01, 0.25, 0.5, 0.75, 0.99]
        np.testing.assert_allclose(
            mid_quantile(centres, weights, q), np.quantile(values[:, index], q), atol=2e-3
        )


def test_few_values_are_exact():
    values = np.array([[3.0], [1.0], [3.0], [250.0]])
    centres, weights = histogram(values, np.array([1.0, 2.0, 4.0, 8.0])).column(0)
    assert centres.tolist() == [1.0, 3.0, 250.0]
    assert weights.tolist() == [2.0, 5.0, 8.0]
