import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.preprocessing import QuantileClipper


def sample(n=1001, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_cauchy(n), rng.poisson(3, n), rng.normal(0, 1, n)])
    X[rng.random(X.shape) < 0.1] = np.nan
    return X.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("lower", "upper"), [(0.001, 0.999), (0, 1), (0.1, 0.5), (0.25, 1)])
def test_limits_are_quantiles(lower, upper, dtype):
    X = sample(dtype=dtype)
    clipper = QuantileClipper(lower, upper).fit(X)
    expected = np.nanquantile(X, [lower, upper], axis=0, method="averaged_inverted_cdf")
    np.testing.assert_allclose([clipper.lower_, clipper.upper_], expected, rtol=1e-6)
    clipped = clipper.transform(X)
    assert clipped.dtype == dtype
    np.testing.assert_array_equal(
        clipped, np.clip(X, clipper.lower_.astype(dtype), clipper.upper_.astype(dtype))
    )
    changed = (clipped != X) & ~np.isnan(X)
    np.testing.assert_allclose(
        clipper.clipped_fraction_, changed.sum(axis=0) / (~np.isnan(X)).sum(axis=0)
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_weights_are_repetitions_in_any_order_and_unit(seed, scale):
    X, rng = sample(301), np.random.default_rng(seed)
    repeats = rng.integers(-3, 4, len(X))
    order = rng.permutation(len(X))
    repeated = QuantileClipper(0.05, 0.9).fit(np.repeat(X, np.abs(repeats), axis=0))
    weighted = QuantileClipper(0.05, 0.9).fit(X[order], sample_weight=scale * repeats[order])
    for name in ("lower_", "upper_", "clipped_fraction_"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-9)


def test_rows_of_weight_zero_do_not_count():
    X = np.r_[np.arange(10.0), [1e9, np.inf]][:, None]
    clipper = QuantileClipper(0, 1).fit(X, sample_weight=[1.0] * 10 + [0.0] * 2)
    assert (clipper.lower_[0], clipper.upper_[0]) == (0.0, 9.0)


def test_frames_and_empty_columns():
    frame = pd.DataFrame({"pt": [1.0, 2.0, 300.0], "none": [np.nan] * 3})
    with pytest.warns(EmptyColumnWarning, match="1 of 2 columns.*'none'"):
        clipper = QuantileClipper(0, 0.5).set_output(transform="pandas").fit(frame)
    assert np.isnan(clipper.upper_[1])
    clipped = clipper.transform(frame[["none", "pt"]].assign(none=5.0))
    assert clipped["pt"].tolist() == [1.0, 2.0, 2.0]
    assert clipped["none"].tolist() == [5.0] * 3


def test_infinity_names_the_column():
    frame = pd.DataFrame({"pt": [1.0, np.inf], "eta": [0.0, 1.0]})
    with pytest.raises(ValueError, match="infinity in column 'pt'"):
        QuantileClipper().fit(frame)


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (-0.1, 1, "lower=-0.1 must be a number between 0 and 1"),
        (0, 1.5, "upper=1.5"),
        ("1%", 1, "lower='1%'"),
        (0, True, "upper=True"),
        (np.nan, 1, "lower=nan"),
        (0.5, 0.5, "must be below"),
    ],
)
def test_bad_quantiles(lower, upper, message):
    with pytest.raises(ValueError, match=message):
        QuantileClipper(lower, upper).fit([[1.0], [2.0]])


def test_masked_sentinels_do_not_count():
    x = np.append(np.arange(100.0), [-999.0])[:, None]
    clipper = QuantileClipper(lower=0, upper=1).fit(np.ma.masked_equal(x, -999.0))
    assert clipper.lower_.tolist() == [0.0]
