import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.impute import MissingValueImputer

STRATEGIES = ["median", "mean", "most_frequent", "constant"]
all_strategies = pytest.mark.parametrize("strategy", STRATEGIES)


@parametrize_with_checks(
    [MissingValueImputer(strategy, add_indicator=strategy == "mean") for strategy in STRATEGIES]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


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


@all_strategies
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(10, 60))
def test_integer_weights_equal_repeated_rows(strategy, seed, n):
    X = table(n, seed)
    repeats = np.random.default_rng(seed).integers(1, 4, n)
    repeats[::5] = 0
    weighted = MissingValueImputer(strategy).fit(X, sample_weight=-repeats)
    repeated = MissingValueImputer(strategy).fit(np.repeat(X, repeats, axis=0))
    np.testing.assert_allclose(weighted.statistics_, repeated.statistics_, rtol=1e-12)
    np.testing.assert_allclose(weighted.missing_fraction_, repeated.missing_fraction_, atol=1e-12)


@all_strategies
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_order_and_unit_of_weights_do_not_matter(strategy, seed, scale):
    X = table(60, seed)
    rng = np.random.default_rng(seed)
    weight = rng.choice([-0.1, 0.1, 0.3, 1.7], 60)
    order = rng.permutation(60)
    fitted = MissingValueImputer(strategy).fit(X, sample_weight=weight)
    other = MissingValueImputer(strategy).fit(X[order], sample_weight=scale * weight[order])
    np.testing.assert_allclose(other.statistics_, fitted.statistics_, rtol=1e-12)


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
@all_strategies
def test_several_sentinels(strategy, dtype):
    X = table(dtype=dtype)
    marked = X.copy()
    holes = np.flatnonzero(np.isnan(X[:, 0]))
    marked[holes[::3], 0] = -999.9
    marked[holes[1::3], 0] = -99.0
    imputer = MissingValueImputer(strategy, missing_values=[-999.9, -99])
    np.testing.assert_array_equal(
        imputer.fit_transform(marked), MissingValueImputer(strategy).fit_transform(X)
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


def test_integers_and_none():
    assert MissingValueImputer().fit_transform([[1], [-999], [4]]).ravel().tolist() == [1, 2.5, 4]
    objects = np.array([[1.0], [None], [4.0]], dtype=object)
    assert MissingValueImputer().fit_transform(objects).ravel().tolist() == [1, 2.5, 4]
    nullable = pd.DataFrame({"n": pd.array([1, None, 4], dtype="Int64")})
    assert MissingValueImputer().fit_transform(nullable).ravel().tolist() == [1, 2.5, 4]


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


def test_pipeline_search_with_routed_signed_weights():
    X = table(300)
    y = (X[:, 3] > 0).astype(int)
    weight = np.random.default_rng(1).normal(1, 1, 300)
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = DecisionTreeClassifier(max_depth=2).set_fit_request(sample_weight=False)
        classifier.set_score_request(sample_weight=True)
        search = GridSearchCV(
            Pipeline([("imputer", MissingValueImputer()), ("classifier", classifier)]),
            {"imputer__strategy": STRATEGIES, "imputer__add_indicator": [False, True]},
            cv=2,
            error_score="raise",
        )
        search.fit(X, y, sample_weight=weight)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.named_steps["imputer"]
    expected = MissingValueImputer(best.strategy).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(best.statistics_, expected.statistics_)
