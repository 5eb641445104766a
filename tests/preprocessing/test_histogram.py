import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skhep_ml.preprocessing._histogram import (
    ValueHistogram,
    float_key,
    key_value,
    mid_quantile,
)

floats = hnp.arrays(
    np.float32, st.integers(1, 50), elements=st.floats(width=32, allow_nan=False, allow_infinity=0)
)


@given(values=floats)
def test_keys_are_in_the_order_of_the_values(values):
    values = np.sort(values)
    keys = float_key(values).astype(np.int64)
    np.testing.assert_array_equal(np.sign(np.diff(keys)), np.sign(np.diff(values.astype(float))))


@given(values=floats)
def test_keys_give_the_values_back(values):
    np.testing.assert_array_equal(key_value(float_key(values).astype(np.int64)), values)


def test_both_zeros_have_one_key():
    assert np.unique(float_key(np.array([0.0, -0.0], np.float32))).tolist() == [0]


def histogram(values, weight):
    made = ValueHistogram.empty(np.nanmin(values, axis=0), np.nanmax(values, axis=0))
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


def test_unit_weights_equal_none():
    values = np.random.default_rng(0).normal(0, 3, (150_000, 2)).astype(np.float32)
    values[::7, 1] = np.nan
    plain = ValueHistogram.empty(np.nanmin(values, axis=0), np.nanmax(values, axis=0))
    plain.add(values)
    for index in range(2):
        made = histogram(values, np.ones(len(values))).column(index)
        for mine, expected in zip(plain.column(index), made, strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_quantiles():
    rng = np.random.default_rng(0)
    q = np.array([0.01, 0.25, 0.5, 0.75, 0.99])
    counts = rng.poisson(4, 5001).astype(float)
    smooth = rng.normal(0, 1, 5001)
    filled = np.where(rng.random(5001) < 0.6, 5.0, rng.normal(0, 1, 5001))
    made = histogram(np.column_stack([counts, smooth, filled]), np.ones(5001))
    assert made.quantile(0, q).tolist() == np.quantile(counts, q).tolist()
    np.testing.assert_allclose(made.quantile(1, q), np.quantile(smooth, q), rtol=0.02)
    np.testing.assert_allclose(made.quantile(2, q)[2:], 5.0, rtol=0.02)
    assert np.ptp(made.quantile(2, q)[2:4]) == 0


def test_pickle_is_small():
    values = np.random.default_rng(0).normal(0, 1, (50_000, 4)).astype(np.float32)
    for weight in (None, np.random.default_rng(1).random(50_000)):
        made = ValueHistogram.empty(values.min(axis=0), values.max(axis=0))
        made.add(values, weight)
        stored = pickle.dumps(made)
        copy = pickle.loads(stored)
        for index in range(4):
            for mine, expected in zip(copy.column(index), made.column(index), strict=True):
                np.testing.assert_allclose(mine, expected, rtol=1e-7)
        n_bins = sum(len(made.column(index)[0]) for index in range(4))
        assert len(stored) < 11 * n_bins


@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
def test_pickle_keeps_values_that_stand_alone(scale):
    values = np.r_[np.arange(30.0), 0.1, 1e9][:, None].astype(np.float32)
    made = histogram(values, np.random.default_rng(0).random(32) * scale)
    copy = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(copy.column(0)[0], np.sort(values[:, 0]))
    np.testing.assert_allclose(copy.column(0)[1], made.column(0)[1], rtol=1e-7)


def test_few_values_are_exact():
    values = np.array([[3.0], [1.0], [3.0], [250.0]])
    centres, weights = histogram(values, np.array([1.0, 2.0, 4.0, 8.0])).column(0)
    assert centres.tolist() == [1.0, 3.0, 250.0]
    assert weights.tolist() == [2.0, 5.0, 8.0]
