"""Behaviour that all scalers share."""

import itertools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.preprocessing import AutoScaler, LogScaler, MinMaxScaler, ZScoreScaler

SCALERS = [
    MinMaxScaler(),
    MinMaxScaler((0, 1)),
    ZScoreScaler(),
    ZScoreScaler(with_mean=False),
    ZScoreScaler(robust=True),
    LogScaler(),
    LogScaler("shifted", standardize=False),
    AutoScaler(),
]
all_scalers = pytest.mark.parametrize("scaler", SCALERS, ids=str)


# the scalers as they come are checked with all other estimators
VARIANTS = [
    MinMaxScaler((0, 1), clip=True),
    ZScoreScaler(with_mean=False, clip=5.0),
    LogScaler("signed", clip=3.0),
    LogScaler("shifted", standardize=False),
]


@parametrize_with_checks(VARIANTS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def sample(n=500, seed=0):
    """Table with one column per shape, and signed weights of which some are zero."""
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [
            rng.uniform(-np.pi, np.pi, n),
            rng.normal(91, 3, n),
            rng.lognormal(0, 2.5, n),
            rng.exponential(30, n) + 20,
            rng.poisson(3, n),
            np.full(n, 0.1),
            rng.standard_cauchy(n),
        ]
    )
    X[rng.random(X.shape) < 0.1] = np.nan
    weight = rng.normal(1, 1, n)
    weight[::7] = 0
    return X, weight


@all_scalers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_inverse_is_exact_to_rounding(scaler, dtype, order):
    X, weight = sample()
    X = np.asarray(X, dtype=dtype, order=order)
    fitted = clone(scaler).fit(X, sample_weight=weight)
    scaled = fitted.transform(X)
    assert scaled.dtype == dtype
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(X))
    back = fitted.inverse_transform(scaled)
    assert back.dtype == dtype
    eps = np.finfo(dtype).eps
    # linear maps round relative to the largest value, logarithms to the distance from the origin
    size = np.nanmax(np.abs(X), axis=0)
    if getattr(scaler, "robust", False):
        # beyond the level of the smooth clip the inverse is steep
        z = np.abs((X - fitted.center_) / fitted.scale_)
        X = np.where(z < 1000, X, np.nan)
        size = np.abs(fitted.center_) + fitted.scale_ * (1 + (z / 3) ** 2) ** 1.5
    if isinstance(scaler, LogScaler):
        size = np.abs(X) + np.abs(fitted.origin_) + fitted.threshold_
    tolerance = 30 * eps * size
    difference = np.abs(back - X)
    assert np.all((difference <= tolerance) | np.isnan(X))


@all_scalers
def test_float32_agrees_with_float64(scaler):
    X, weight = sample()
    X = X.astype(np.float32)
    single = clone(scaler).fit(X, sample_weight=weight)
    double = clone(scaler).fit(X.astype(np.float64), sample_weight=weight)
    np.testing.assert_allclose(
        single.transform(X), double.transform(X.astype(np.float64)), rtol=3e-6, atol=6e-6
    )


@all_scalers
def test_many_blocks_equal_memory_orders(scaler):
    X, weight = sample(30_000)
    c_order = clone(scaler).fit(X, sample_weight=weight).transform(X)
    f_order = clone(scaler).fit(np.asfortranarray(X), sample_weight=weight).transform(X)
    np.testing.assert_allclose(c_order, f_order, rtol=1e-9, atol=1e-9)


finite = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
tables = hnp.arrays(
    np.float32,
    st.tuples(st.integers(2, 30), st.integers(1, 3)),
    elements=st.one_of(finite, st.floats(-10, 10, width=32, allow_subnormal=False)),
)


@all_scalers
@settings(max_examples=25, deadline=None)
@given(X=tables)
def test_finite_input_gives_finite_output(scaler, X):
    half = len(X) // 2 + 1
    fitted = clone(scaler).fit(X[:half].astype(np.float64))
    assert np.isfinite(fitted.transform(X.astype(np.float64))).all()
    with np.errstate(over="ignore"):
        assert not np.isnan(clone(scaler).fit(X[:half]).transform(X)).any()


def chunk_tolerance(scaler):
    """Quartiles of chunks come from a histogram; all else is exact to rounding."""
    tolerance = 0.05 if getattr(scaler, "robust", False) else 1e-9
    return {"rtol": tolerance, "atol": tolerance}


@all_scalers
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(1, 299), min_size=1, max_size=4))
def test_chunks_equal_whole(scaler, seed, cuts):
    X, weight = sample(300, seed)
    weight[weight == 0] = 0.5
    whole = clone(scaler).fit(X, sample_weight=weight)
    chunked = clone(scaler)
    edges = [0, *sorted(set(cuts)), 300]
    for start, stop in itertools.pairwise(edges):
        chunked.partial_fit(X[start:stop], sample_weight=weight[start:stop])
    assert chunked.n_samples_seen_ == whole.n_samples_seen_ == 300
    np.testing.assert_allclose(chunked.transform(X), whole.transform(X), **chunk_tolerance(scaler))


@all_scalers
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_order_and_unit_and_sign_of_weights_do_not_matter(scaler, seed, scale):
    X, weight = sample(300, seed)
    order = np.random.default_rng(seed).permutation(300)
    expected = clone(scaler).fit(X, sample_weight=weight).transform(X)
    other = clone(scaler).fit(X[order], sample_weight=scale * np.abs(weight[order]))
    np.testing.assert_allclose(other.transform(X), expected, rtol=1e-8, atol=1e-8)


@all_scalers
def test_integer_weights_equal_repeated_rows(scaler):
    X, _ = sample(400)
    repeats = np.random.default_rng(1).integers(0, 4, 400)
    weighted = clone(scaler).fit(X, sample_weight=-repeats)
    repeated = clone(scaler).fit(np.repeat(X, repeats, axis=0))
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-9, atol=1e-9)


@all_scalers
def test_partial_fit_continues_after_fit(scaler):
    X, _ = sample(400)
    continued = clone(scaler).fit(X[:100]).partial_fit(X[100:])
    whole = clone(scaler).fit(X)
    np.testing.assert_allclose(
        continued.transform(X), whole.transform(X), **chunk_tolerance(scaler)
    )


@all_scalers
def test_pickle_continues(scaler):
    X, weight = sample(300)
    first = clone(scaler).partial_fit(X[:150], sample_weight=weight[:150])
    copy = pickle.loads(pickle.dumps(first))
    for part in (first, copy):
        part.partial_fit(X[150:], sample_weight=weight[150:])
    np.testing.assert_allclose(copy.transform(X), first.transform(X), rtol=1e-6, atol=1e-6)


def test_changed_parameters_between_chunks():
    X, _ = sample(100)
    scaler = ZScoreScaler().partial_fit(X)
    scaler.set_params(robust=True)
    with pytest.raises(ValueError, match="start again with fit"):
        scaler.partial_fit(X)


@all_scalers
def test_integers_become_floats(scaler):
    X = np.random.default_rng(0).integers(-5, 50, (100, 2))
    expected = clone(scaler).fit_transform(X.astype(np.float64))
    for dtype in (np.int64, np.int16):
        scaled = clone(scaler).fit_transform(X.astype(dtype))
        assert scaled.dtype == np.float64
        np.testing.assert_array_equal(scaled, expected)


@all_scalers
def test_failed_partial_fit_keeps_the_state(scaler):
    X, _ = sample(200)
    fitted = clone(scaler).partial_fit(X)
    before = fitted.transform(X)
    bad = X.copy()
    bad[-1, 0] = np.inf
    with pytest.raises(ValueError, match="infinity in column 0"):
        fitted.partial_fit(bad)
    np.testing.assert_array_equal(fitted.transform(X), before)
    assert fitted.n_samples_seen_ == 200


@all_scalers
def test_empty_column_stays_nan_with_one_warning(scaler):
    X = np.column_stack([np.full(20, np.nan), np.arange(20.0) + 1])
    with pytest.warns(EmptyColumnWarning, match="1 of 2 columns hold no value.*column 0") as record:
        fitted = clone(scaler).fit(X)
    assert len(record) == 1
    scaled = fitted.transform(X)
    assert np.isnan(scaled[:, 0]).all()
    assert np.isfinite(scaled[:, 1]).all()
    assert fitted.transform([[5.0, 1.0]])[0, 0] == 5.0


@all_scalers
def test_empty_column_may_fill_later(scaler):
    X, _ = sample(200)
    late = X.copy()
    late[:50, 3] = np.nan
    chunked = clone(scaler).partial_fit(late[:50]).partial_fit(late[50:])
    whole = clone(scaler).fit(late)
    np.testing.assert_allclose(chunked.transform(X), whole.transform(X), **chunk_tolerance(scaler))


@all_scalers
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e12, 1e-30])
def test_constant_column(scaler, value):
    X = np.full((1001, 1), value)
    X[3] = np.nan
    weight = np.random.default_rng(0).uniform(0.1, 1, 1001)
    fitted = clone(scaler).fit(X, sample_weight=weight)
    scaled = fitted.transform(X)
    assert np.isnan(scaled[3, 0])
    scaled = np.delete(scaled, 3)
    if getattr(scaler, "with_mean", True):
        middle = 0.5 if getattr(scaler, "feature_range", None) == (0, 1) else 0.0
        np.testing.assert_array_equal(scaled, middle)
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(X)), X, rtol=1e-14)


@all_scalers
def test_zero_weight_rows_do_not_count(scaler):
    X, weight = sample(400)
    wild = X.copy()
    wild[weight == 0] = 1e6
    expected = clone(scaler).fit(X[weight != 0], sample_weight=weight[weight != 0])
    fitted = clone(scaler).fit(wild, sample_weight=weight)
    np.testing.assert_allclose(fitted.transform(X), expected.transform(X), rtol=1e-9, atol=1e-12)


@all_scalers
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames(scaler, frame):
    X, weight = sample(100)
    names = [f"column_{index}" for index in range(X.shape[1])]
    table = frame(dict(zip(names, X.T, strict=True)))
    backend = "pandas" if frame is pd.DataFrame else "polars"
    fitted = clone(scaler).set_output(transform=backend).fit(table, sample_weight=weight)
    scaled = fitted.transform(table)
    assert isinstance(scaled, frame)
    assert list(scaled.columns) == names == fitted.get_feature_names_out().tolist()
    expected = clone(scaler).fit(X, sample_weight=weight).transform(X)
    np.testing.assert_allclose(scaled.to_numpy(), expected, rtol=1e-9, atol=1e-9)
    reordered = fitted.transform(table[names[::-1]])  # columns are used by name
    assert list(reordered.columns) == names
    np.testing.assert_array_equal(reordered.to_numpy(), scaled.to_numpy())
    with pytest.raises(ValueError, match="missing"):
        fitted.transform(table[names[1:]])


@all_scalers
def test_nullable_columns(scaler):
    values = [1.0, None, 3.0, 5.0]
    expected = clone(scaler).fit_transform(np.array([[1.0], [np.nan], [3.0], [5.0]]))
    for table in (
        pd.DataFrame({"x": pd.array([1, None, 3, 5], dtype="Int64")}),
        pl.DataFrame({"x": values}),
        np.array(values, dtype=object)[:, None],
    ):
        np.testing.assert_allclose(clone(scaler).fit_transform(table), expected)


@all_scalers
def test_infinity_names_the_column(scaler):
    X = pd.DataFrame({"pt": [1.0, 2.0, np.nan], "eta": [0.0, -np.inf, 1.0]})
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        clone(scaler).fit(X)
    fitted = clone(scaler).fit(X.replace(-np.inf, 0.5))
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        fitted.transform(X)
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        fitted.inverse_transform(X)


@all_scalers
@pytest.mark.parametrize(
    ("weight", "message"),
    [([1.0, np.nan, 1.0], "NaN or infinite"), ([1.0], "1 entries"), ([0.0] * 3, "zero for every")],
)
def test_unusable_weights(scaler, weight, message):
    with pytest.raises(ValueError, match=message):
        clone(scaler).fit([[1.0], [2.0], [3.0]], sample_weight=weight)


def test_pipeline_search_with_routed_signed_weights():
    X, weight = sample(300)
    X = np.nan_to_num(X)
    weight[weight == 0] = 1.0
    y = (X[:, 3] > 45).astype(int)
    scalers = [MinMaxScaler(), ZScoreScaler(), LogScaler(), AutoScaler()]
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = LogisticRegression().set_fit_request(sample_weight=False)
        classifier.set_score_request(sample_weight=True)
        search = GridSearchCV(
            Pipeline([("scaler", AutoScaler()), ("classifier", classifier)]),
            {"scaler": scalers},
            cv=2,
            error_score="raise",
        )
        search.fit(X, y, sample_weight=weight)
        best = search.best_estimator_
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    # the weights did reach the scaler
    expected = clone(search.best_params_["scaler"]).fit(X, sample_weight=weight).transform(X)
    np.testing.assert_array_equal(best.named_steps["scaler"].transform(X), expected)
    unweighted = clone(search.best_params_["scaler"]).fit(X).transform(X)
    assert not np.allclose(expected, unweighted)


@all_scalers
def test_masked_sentinels_do_not_count(scaler):
    X, _ = sample(300)
    X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
    masked = np.ma.masked_equal(np.nan_to_num(X, nan=-999.0), -999.0)
    expected = clone(scaler).fit_transform(X)
    np.testing.assert_array_equal(clone(scaler).fit_transform(masked), expected)
    np.testing.assert_array_equal(clone(scaler).fit(X).transform(masked), expected)


@all_scalers
def test_chunks_of_weight_zero_change_nothing(scaler):
    X, weight = sample(300)
    weight[weight == 0] = 0.5
    weight[:50] = weight[200:] = 0
    chunked, whole = clone(scaler), clone(scaler)
    for rows in (slice(0, 50), slice(50, 200), slice(200, 300)):
        chunked.partial_fit(X[rows], sample_weight=weight[rows])
    whole.partial_fit(X[50:200], sample_weight=weight[50:200])
    np.testing.assert_allclose(chunked.transform(X), whole.transform(X), **chunk_tolerance(scaler))
    with pytest.raises(ValueError, match="has 50 entries"):
        chunked.partial_fit(X, sample_weight=np.zeros(50))
