import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skhep_ml.datasets import make_signed_events
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import roc_auc_scorer

STRATEGIES = ["median", "mean", "most_frequent", "constant"]
all_strategies = pytest.mark.parametrize("strategy", STRATEGIES)
with_interpolation = pytest.mark.parametrize("strategy", [*STRATEGIES, "interpolate"])


@parametrize_with_checks(
    [
        *[
            MissingValueImputer(strategy, add_indicator=strategy == "mean")
            for strategy in STRATEGIES
        ],
        MissingValueImputer("interpolate", axis=0),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def ordered_by_last(strategy, **parameters):
    return MissingValueImputer(strategy, axis=3, **parameters)


def table(n=501, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [rng.normal(90, 5, n), rng.exponential(30, n), rng.poisson(3, n), rng.uniform(-1, 1, n)]
    )
    X[:, :3][rng.random((n, 3)) < 0.2] = np.nan
    return X.astype(dtype)


@all_strategies
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 500, 501])
def test_equals_scikit_learn(strategy, dtype, n):
    X = table(500 + n % 2, dtype=dtype)[:n] if n > 2 else np.array([[1, 5], [3, 5]], dtype)
    ours = MissingValueImputer(strategy, fill_value=-1.5).fit(X)
    expected = SimpleImputer(strategy=strategy, fill_value=-1.5).fit(X)
    filled = ours.transform(X)
    assert filled.dtype == dtype
    np.testing.assert_allclose(filled, expected.transform(X), rtol=1e-6)
    np.testing.assert_allclose(ours.statistics_, expected.statistics_.astype(float), rtol=1e-6)


@with_interpolation
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(10, 60))
def test_integer_weights_equal_repeated_rows(strategy, seed, n):
    X = table(n, seed)
    repeats = np.random.default_rng(seed).integers(1, 4, n)
    repeats[::5] = 0
    X[:, 3] = X[:, 3].round(1)
    weighted = ordered_by_last(strategy).fit(X, sample_weight=-repeats)
    repeated = ordered_by_last(strategy).fit(np.repeat(X, repeats, axis=0))
    np.testing.assert_allclose(weighted.statistics_, repeated.statistics_, rtol=1e-12)
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-9)
    np.testing.assert_allclose(weighted.missing_fraction_, repeated.missing_fraction_, atol=1e-12)


@with_interpolation
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_order_and_unit_of_weights_do_not_matter(strategy, seed, scale):
    X = table(60, seed)
    X[:, 3] = X[:, 3].round(1)
    rng = np.random.default_rng(seed)
    weight = rng.choice([-0.1, 0.1, 0.3, 1.7], 60)
    order = rng.permutation(60)
    fitted = ordered_by_last(strategy).fit(X, sample_weight=weight)
    other = ordered_by_last(strategy).fit(X[order], sample_weight=scale * weight[order])
    np.testing.assert_allclose(other.statistics_, fitted.statistics_, rtol=1e-12)
    np.testing.assert_allclose(other.transform(X[order]), fitted.transform(X)[order], rtol=1e-9)


@with_interpolation
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), chunk=st.integers(1, 70))
def test_transform_of_chunks_is_that_of_the_whole(strategy, seed, chunk):
    X = table(60, seed, np.float32)
    fitted = ordered_by_last(strategy, add_indicator=True).fit(X[:40])
    parts = [fitted.transform(X[start : start + chunk]) for start in range(0, len(X), chunk)]
    np.testing.assert_array_equal(np.concatenate(parts), fitted.transform(X))


def slow_weighted_median(x, w):
    order = np.argsort(x)
    x, w = x[order], w[order]
    below = np.cumsum(w) / w.sum()
    return (x[below >= 0.5 - 1e-12][0] + x[below > 0.5 + 1e-12][0]) / 2


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), scale=st.sampled_from([1e-30, 1, 1e12]))
def test_weighted_median_against_a_slow_one(seed, n, scale):
    rng = np.random.default_rng(seed)
    x = scale * rng.choice([rng.normal(0, 1, n), rng.integers(-3, 4, n), rng.lognormal(0, 5, n)])
    w = rng.choice([rng.integers(1, 4, n), rng.exponential(1, n)]).astype(float)
    fitted = MissingValueImputer().fit(x[:, None], sample_weight=w)
    assert fitted.statistics_[0] == pytest.approx(slow_weighted_median(x, w), rel=1e-14)


def test_weights_of_very_different_size():
    X = np.array([[np.nan], [1.0], [3.0]])
    fitted = MissingValueImputer("mean").fit(X, sample_weight=[1e12, 1e-9, 3e-9])
    assert fitted.statistics_[0] == pytest.approx(2.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@with_interpolation
def test_several_sentinels(strategy, dtype):
    X = table(dtype=dtype)
    marked = X.copy()
    holes = np.flatnonzero(np.isnan(X[:, 0]))
    marked[holes[::3], 0] = -999.9
    marked[holes[1::3], 0] = -99.0
    imputer = ordered_by_last(strategy, missing_values=[-999.9, -99])
    np.testing.assert_array_equal(
        imputer.fit_transform(marked), ordered_by_last(strategy).fit_transform(X)
    )


def test_infinity_may_be_a_sentinel():
    X = np.array([[1.0], [np.inf], [3.0]])
    assert MissingValueImputer(missing_values=np.inf).fit_transform(X).ravel().tolist() == [1, 2, 3]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_and_indicators(frame):
    X = frame({"pt": [10.0, -999.0, 30.0], "eta": [0.5, 1.5, 2.5], "n": [None, 2.0, 4.0]})
    backend = "pandas" if frame is pd.DataFrame else "polars"
    imputer = MissingValueImputer(add_indicator=True).set_output(transform=backend)
    filled = imputer.fit_transform(X)
    assert isinstance(filled, frame)
    names = ["pt", "eta", "n", "missingindicator_pt", "missingindicator_n"]
    assert list(filled.columns) == names
    assert imputer.indicator_features_.tolist() == [0, 2]
    expected = [[10, 0.5, 3, 0, 1], [20, 1.5, 2, 1, 0], [30, 2.5, 4, 0, 0]]
    np.testing.assert_array_equal(filled.to_numpy(), expected)
    theirs = SimpleImputer(add_indicator=True).fit(
        np.array([[10, 0.5, np.nan], [np.nan, 1.5, 2], [30, 2.5, 4]])
    )
    assert theirs.get_feature_names_out(["pt", "eta", "n"]).tolist() == names
    with pytest.raises(ValueError, match="missing"):
        imputer.transform(X[["pt", "eta"]])


def test_value_missing_only_later_is_filled_without_indicator():
    imputer = MissingValueImputer(add_indicator=True).fit([[1.0, 2.0], [3.0, np.nan]])
    np.testing.assert_array_equal(imputer.transform([[np.nan, 5.0]]), [[2.0, 5.0, 0.0]])


def test_zero_weight_rows_do_not_count():
    X = np.array([[1.0], [3.0], [100.0], [np.nan]])
    imputer = MissingValueImputer("median", add_indicator=True)
    imputer.fit(X, sample_weight=[1.0, -1.0, 0.0, 0.0])
    assert imputer.statistics_.tolist() == [2.0]
    assert imputer.missing_fraction_.tolist() == [0.0]
    assert imputer.indicator_features_.tolist() == []


@with_interpolation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masked_arrays(strategy, dtype):
    X = table(dtype=dtype)
    X[5, 0] = -99
    holes = np.isnan(X)
    masked = np.ma.array(np.where(holes, 7.0, X).astype(dtype), mask=holes)
    masked[5, 0] = -99
    imputer = ordered_by_last(strategy, missing_values=(np.nan, -99), add_indicator=True)
    filled = imputer.fit_transform(masked)
    assert filled.dtype == dtype
    assert not np.ma.isMaskedArray(filled)
    np.testing.assert_array_equal(filled, clone(imputer).fit_transform(X))


def test_masked_integers():
    X = np.ma.array([[1], [7], [4]], mask=[[False], [True], [False]])
    assert MissingValueImputer().fit_transform(X).ravel().tolist() == [1, 2.5, 4]


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "Float64", "double[pyarrow]", object])
def test_nulls_of_pandas(dtype):
    X = pd.DataFrame({"n": pd.array([1, None, 4, -99], dtype=dtype), "m": [1.0, 2.0, 3.0, 4.0]})
    before = X.copy()
    filled = MissingValueImputer(missing_values=-99).fit_transform(X)
    np.testing.assert_array_equal(filled, [[1, 1], [2.5, 2], [4, 3], [2.5, 4]])
    pd.testing.assert_frame_equal(X, before)


def test_object_column_with_na_and_nullable_float32():
    X = pd.DataFrame({"n": [1.0, pd.NA, 4.0]})
    assert MissingValueImputer().fit_transform(X).ravel().tolist() == [1, 2.5, 4]
    single = pd.DataFrame({"n": pd.array([1, None, 4], dtype="Float32")})
    assert MissingValueImputer().fit_transform(single).dtype == np.float32
    with pytest.raises(ValueError, match=r"column 'process' .* holds more than numbers"):
        MissingValueImputer().fit(pd.DataFrame({"process": ["Z", "H"]}))


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float32, pl.Float64])
def test_nulls_of_polars(dtype):
    X = pl.DataFrame({"n": pl.Series([1, None, 4, -99], dtype=dtype)})
    filled = MissingValueImputer(missing_values=-99).fit_transform(X)
    assert filled.ravel().tolist() == [1, 2.5, 4, 2.5]


def test_integers_and_none():
    assert MissingValueImputer().fit_transform([[1], [-999], [4]]).ravel().tolist() == [1, 2.5, 4]
    objects = np.array([[1.0], [None], [4.0]], dtype=object)
    assert MissingValueImputer().fit_transform(objects).ravel().tolist() == [1, 2.5, 4]


@all_strategies
@pytest.mark.parametrize("fill_value", [None, 7.0])
def test_column_without_values(strategy, fill_value):
    X = np.array([[np.nan, 1.0], [-999.0, 2.0]])
    imputer = MissingValueImputer(strategy, fill_value=fill_value)
    with pytest.warns(EmptyColumnWarning, match="1 of 2 columns.*column 0") as record:
        filled = imputer.fit_transform(X)
    assert len(record) == 1
    np.testing.assert_array_equal(filled, [[fill_value or 0.0, 1.0], [fill_value or 0.0, 2.0]])


def test_many_blocks_and_memory_orders():
    X = table(40_000, dtype=np.float32)
    weight = np.random.default_rng(0).normal(1, 1, len(X))
    one = MissingValueImputer("mean", add_indicator=True).fit(X, sample_weight=weight)
    filled = one.transform(X)
    present = ~np.isnan(X[:, 1])
    expected = np.average(X[present, 1].astype(float), weights=np.abs(weight[present]))
    assert one.statistics_[1] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(filled[:, 4:], np.isnan(X[:, :3]))
    np.testing.assert_array_equal(one.transform(np.asfortranarray(X)), filled)


def test_infinity_names_the_column():
    X = pd.DataFrame({"pt": [1.0, np.nan], "eta": [np.inf, 0.0]})
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        MissingValueImputer().fit(X)
    fitted = MissingValueImputer().fit(X.replace(np.inf, 1.0))
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        fitted.transform(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"strategy": "mode"}, "strategy='mode'"),
        ({"fill_value": np.nan}, "fill_value=nan"),
        ({"fill_value": "0"}, "fill_value='0'"),
        ({"missing_values": "NaN"}, "missing_values='NaN'"),
        ({"missing_values": (np.nan, "NaN")}, "got 'NaN'"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        MissingValueImputer(**parameters).fit([[1.0], [2.0]])


def test_unusable_weights():
    with pytest.raises(ValueError, match="NaN or infinite"):
        MissingValueImputer().fit([[1.0], [2.0]], sample_weight=[1.0, np.inf])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), distinct=st.integers(1, 80))
def test_most_frequent_against_a_slow_one(dtype, weighted, seed, n, distinct):
    rng = np.random.default_rng(seed)
    x = rng.choice(np.r_[-0.0, rng.lognormal(0, 9, distinct) * rng.choice([-1, 1])], n)
    x = x.astype(dtype)
    w = rng.integers(1, 4, n) * 0.1 if weighted else None
    totals = dict.fromkeys(np.sort(x).tolist(), 0.0)
    for value, weight in zip(x.tolist(), np.ones(n) if w is None else w, strict=True):
        totals[value] += weight
    expected = next(v for v, t in totals.items() if t >= max(totals.values()) * (1 - 1e-9))
    # NaN of both signs count as missing
    holes = np.array([np.nan, -np.nan], dtype)
    table, table_weight = np.r_[x, holes][:, None], None if w is None else np.r_[w, 9, 9]
    fitted = MissingValueImputer("most_frequent").fit(table, sample_weight=table_weight)
    assert fitted.statistics_[0] == expected


def test_pipeline_search_with_routed_signed_weights():
    events = make_signed_events(400, random_state=0)
    X = np.column_stack([events.data, np.arange(len(events.data))]).astype(np.float32)
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    weight = events.weight
    assert weight.min() < 0
    model = Pipeline(
        [
            ("imputer", MissingValueImputer("mean", axis=X.shape[1] - 1)),
            ("bdt", BDTClassifier(n_estimators=5, n_jobs=1)),
        ]
    )
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            model,
            {"imputer__strategy": [*STRATEGIES, "interpolate"]},
            scoring=roc_auc_scorer(),
            cv=2,
            error_score="raise",
        )
        search.fit(X, events.target, sample_weight=weight)
        model.fit(X, events.target, sample_weight=weight)
    assert (search.cv_results_["mean_test_score"] > 0.5).all()
    present = ~np.isnan(X[:, 0])
    expected = np.average(X[present, 0].astype(float), weights=np.abs(weight[present]))
    assert model["imputer"].statistics_[0] == pytest.approx(expected, rel=1e-9)


def test_columns_that_cannot_be_used_are_named():
    repeated = pd.DataFrame(np.ones((3, 2)), columns=["pt", "pt"])
    for X in (repeated, repeated.astype("Float64")):
        with pytest.raises(ValueError, match=r"column of the same name: \['pt'\]"):
            MissingValueImputer().fit(X)
    text = {"pt": [1.0, None], "process": ["a", "b"]}
    for frame in (pd.DataFrame, pl.DataFrame):
        with pytest.raises(ValueError, match=r"column 'process' of type .* more than numbers"):
            MissingValueImputer().fit(frame(text))
