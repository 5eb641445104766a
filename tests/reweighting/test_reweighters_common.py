"""Every two-sample estimator: clone, pickle, parameters, names, refit, weights, bad input."""

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_set_params,
)
from sklearn.utils.metadata_routing import get_routing_for_object

import skhep_ml.reweighting
from skhep_ml.exceptions import SupportWarning, UnidentifiedEventsWarning
from skhep_ml.reweighting import (
    BinsReweighter,
    ClassifierReweighter,
    FoldingReweighter,
    GBReweighter,
    QuantileMorpher,
    RotatingReweighter,
)

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{UnidentifiedEventsWarning.__module__}.{UnidentifiedEventsWarning.__name__}"
)

FAST_GB = {"n_estimators": 5, "min_samples_leaf": 20, "n_jobs": 1, "device": "cpu"}
INSTANCES = [
    BinsReweighter(20, 1.0, random_state=0),
    BinsReweighter(20, 1.0, n_replicas=2, random_state=0),
    ClassifierReweighter(LogisticRegression(), random_state=0),
    FoldingReweighter(BinsReweighter(20, 1.0), verbose=False),
    GBReweighter(**FAST_GB, random_state=0),
    GBReweighter(**FAST_GB, random_state=0, n_replicas=2, normalize="target"),
    GBReweighter(**FAST_GB, gb_args={"subsample": 0.5, "random_state": 3}, negative_weights="keep"),
    QuantileMorpher(n_quantiles=20),
    RotatingReweighter(GBReweighter(**FAST_GB, random_state=0)),
]
# estimators that weight, rather than move, events
REWEIGHTERS = [model for model in INSTANCES if hasattr(model, "predict_weights")]
# those that train on weights themselves
PLAIN = [model for model in REWEIGHTERS if hasattr(model, "negative_weights")]


def name_of(model):
    return type(model).__name__


every = pytest.mark.parametrize("model", INSTANCES, ids=name_of)
every_reweighter = pytest.mark.parametrize("model", REWEIGHTERS, ids=name_of)
every_plain = pytest.mark.parametrize("model", PLAIN, ids=name_of)


def samples(n=300, seed=0):
    """Original and target as DataFrames in two features, and their signed weights."""
    rng = np.random.default_rng(seed)
    original = pd.DataFrame({"pt": rng.normal(0, 1, n), "eta": rng.normal(0, 1, n)})
    target = pd.DataFrame({"pt": rng.normal(0.3, 1, n + 50), "eta": rng.normal(0, 0.9, n + 50)})
    return original, target, rng.choice([1.0, 2.0, -0.5], n), rng.choice([1.0, 3.0, -0.5], n + 50)


def apply(model, X):
    method = getattr(model, "predict_weights", None) or model.transform
    return np.asarray(method(X))


def test_the_list_is_complete():
    public = {
        name
        for name in skhep_ml.reweighting.__all__
        if inspect.isclass(thing := getattr(skhep_ml.reweighting, name))
        and issubclass(thing, BaseEstimator)
    }
    # unfolding takes other samples: tests/reweighting/test_omnifold.py
    assert public == {type(model).__name__ for model in INSTANCES} | {"OmniFold"}


@every
def test_parameters(model):
    name = type(model).__name__
    check_no_attributes_set_in_init(name, model)
    check_get_params_invariance(name, model)
    check_set_params(name, model)
    assert get_tags(model).input_tags.two_d_array is False
    assert name in estimator_html_repr(model)


@every
def test_every_argument_of_fit_is_metadata_by_default(model):
    requests = get_routing_for_object(model)
    requests = getattr(requests, "_self_request", requests).fit.requests
    arguments = set(inspect.signature(model.fit).parameters) - {"original", "target"}
    assert set(requests) == arguments
    assert all(value is True for value in requests.values())


@every
def test_fit_leaves_parameters_alone_and_refits(model):
    original, target, w_original, w_target = samples()
    model = clone(model)
    before = {name: repr(value) for name, value in model.get_params().items()}
    assert model.fit(original, target, w_original, w_target) is model
    assert {name: repr(value) for name, value in model.get_params().items()} == before
    first = apply(model, original)
    other = samples(seed=1)
    again = apply(model.fit(*other).fit(original, target, w_original, w_target), original)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(apply(clone(model).fit(*samples()), original), first)


@every
def test_pickle(model):
    original, target, *weights = samples()
    model = clone(model).fit(original, target, *weights)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(apply(copy, original), apply(model, original))


@every
def test_columns_by_name(model):
    original, target, *weights = samples()
    model = clone(model).fit(original, target[["eta", "pt"]], *weights)
    assert list(model.feature_names_in_) == ["pt", "eta"]
    assert model.n_features_in_ == 2
    expected = apply(model, original)
    arrays = clone(model).fit(original.to_numpy(), target.to_numpy(), *weights)
    np.testing.assert_allclose(apply(arrays, original.to_numpy()), expected, rtol=1e-12)
    frames = [pl.DataFrame(s.to_dict("list")) for s in (original, target)]
    polars = clone(model).fit(*frames, *weights)
    np.testing.assert_allclose(apply(polars, frames[0]), expected, rtol=1e-12)


@every_reweighter
def test_other_order_of_columns_in_predict(model):
    original, target, *weights = samples()
    model = clone(model).fit(original, target, *weights)
    turned = apply(model, original[["eta", "pt"]])
    np.testing.assert_array_equal(turned, apply(model, original))


@every
def test_columns_that_differ(model):
    original, target, *weights = samples()
    renamed = target.rename(columns={"eta": "phi"})
    with pytest.raises(ValueError, match=r"target lacks \['eta'\] and original lacks \['phi'\]"):
        clone(model).fit(original, renamed, *weights)
    with pytest.raises(ValueError, match="original has 2 features and target 1"):
        clone(model).fit(original.to_numpy(), target.to_numpy()[:, :1], *weights)
    fitted = clone(model).fit(original, target, *weights)
    with pytest.raises(ValueError, match="phi"):
        apply(fitted, original.rename(columns={"eta": "phi"}))
    arrays = clone(model).fit(original.to_numpy(), target.to_numpy(), *weights)
    with pytest.raises(ValueError, match="3 features"):
        apply(arrays, np.zeros((4, 3)))


@every
def test_one_sample_without_names_goes_by_position(model):
    original, target, *weights = samples()
    arrays = original.to_numpy(), target.to_numpy()
    expected = apply(clone(model).fit(*arrays, *weights), arrays[0])
    for k, message in enumerate(("target has column names and original", "original has column")):
        mixed = [original, target]
        mixed[k] = arrays[k]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted = clone(model).fit(*mixed, *weights)
        assert any(str(one.message).startswith(message) for one in caught)
        np.testing.assert_allclose(apply(fitted, mixed[0]), expected, rtol=1e-12)


@every
def test_missing_and_infinite_values_are_located(model):
    original, target, *_ = samples()
    for value, what in ((np.inf, "infinity"), (np.nan, "NaN")):
        if what == "NaN" and get_tags(model).input_tags.allow_nan:
            continue
        bad = target.copy()
        bad.loc[[3, 8], "eta"] = value
        message = f"Input target contains {what} in 2 of 700 values, first in event 3, column 'eta'"
        if isinstance(model, (RotatingReweighter, FoldingReweighter)):  # events of a fold
            message = f"Input target contains {what}"
        with pytest.raises(ValueError, match=message):
            clone(model).fit(original, bad)


@every_plain
def test_identifiers_of_both_samples(model):
    original, target, *weights = samples()
    run_event = np.stack([np.ones(300, dtype=np.int32), np.arange(300)], axis=1)
    for numbers in ({"groups": run_event}, {"groups": run_event, "target_groups": range(350)}):
        fitted = clone(model).fit(original, target, *weights, **numbers)
        average = np.average(original["pt"], weights=weights[0] * apply(fitted, original))
        wanted = np.average(target["pt"], weights=weights[1])
        before = np.average(original["pt"], weights=weights[0])
        assert abs(average - wanted) < abs(before - wanted)
    with pytest.raises(ValueError, match="target_groups has 3 entries, but there are 350 events"):
        clone(model).fit(original, target, groups=run_event, target_groups=[1, 2, 3])
    with pytest.raises(ValueError, match="event identifiers must be integers, got float64"):
        clone(model).fit(original, target, groups=np.ones(300))


@every
def test_bad_samples(model):
    original, target, w_original, _ = samples()
    with pytest.raises(ValueError, match="original is empty"):
        clone(model).fit(original[:0], target)
    with pytest.raises(ValueError, match="target is empty"):
        clone(model).fit(original, target[:0])
    for nothing in (None, 3.0, scipy.sparse.csr_matrix(target.to_numpy())):
        with pytest.raises((ValueError, TypeError), match=r"a table of events|array-like"):
            clone(model).fit(original, nothing)
    broken = target.copy()
    broken.loc[3, "pt"] = np.inf
    with pytest.raises(ValueError, match="Input target contains infinity"):
        clone(model).fit(original, broken)
    with pytest.raises(ValueError, match="original_weight has 3 entries, but there are 300"):
        clone(model).fit(original, target, w_original[:3])
    with pytest.raises(ValueError, match="target_weight is NaN or infinite in 1 events"):
        clone(model).fit(original, target, None, np.where(np.arange(350) == 7, np.nan, 1.0))
    with pytest.raises(ValueError, match="target_weight is zero for every event"):
        clone(model).fit(original, target, None, np.zeros(350))
    # in whichever fold it is noticed
    with pytest.raises(ValueError, match=r"original_weight sums to -\d+ over \d+ events"):
        clone(model).fit(original, target, -np.ones(300))
    with pytest.raises(NotFittedError):
        apply(clone(model), original)


@every_reweighter
def test_one_feature_as_a_vector(model):
    original, target, *weights = samples()
    by_name = clone(model).fit(original["pt"], target["pt"], *weights)
    assert list(by_name.feature_names_in_) == ["pt"]
    vector = clone(model).fit(original["pt"].to_numpy(), target["pt"].to_numpy(), *weights)
    weight = apply(vector, original["pt"].to_numpy())
    np.testing.assert_allclose(apply(by_name, original[["pt"]]), weight, rtol=1e-12)


@every_reweighter
def test_original_weight_multiplies(model):
    original, target, w_original, w_target = samples()
    model = clone(model).fit(original, target, w_original, w_target)
    ratio = model.predict_weights(original)
    assert ratio.dtype == np.float64
    assert (ratio >= 0).all()
    np.testing.assert_allclose(model.predict_weights(original, w_original), w_original * ratio)
    np.testing.assert_allclose(model.predict_weights(original[:5], np.zeros(5)), np.zeros(5))
    with pytest.raises(ValueError, match="original_weight has 2 entries, but there are 300"):
        model.predict_weights(original, [1.0, 2.0])


@every_plain
def test_closure_of_the_sum(model):
    original, target, w_original, w_target = samples()
    for normalize, expected in (("original", w_original.sum()), ("target", w_target.sum())):
        fitted = clone(model).set_params(normalize=normalize)
        fitted.fit(original, target, w_original, w_target)
        weight = fitted.predict_weights(original, w_original)
        # a calibrated classifier fixes its normalisation on events held out
        assert weight.sum() == pytest.approx(expected, rel=0.02)


@every_plain
def test_wrong_common_parameters(model):
    original, target, *_ = samples()
    with pytest.raises(ValueError, match=r"normalize must be .* got 'mean'"):
        clone(model).set_params(normalize="mean").fit(original, target)
    with pytest.raises(ValueError, match=r"negative_weights must be one of .* got 'ignore'"):
        clone(model).set_params(negative_weights="ignore").fit(original, target)
    for count in (-1, 1, 2.5, True):
        with pytest.raises(ValueError, match="n_replicas must be 0 or an integer of at least 2"):
            clone(model).set_params(n_replicas=count).fit(original, target)


@every_plain
def test_negative_weights_refused(model):
    original, target, w_original, w_target = samples()
    with pytest.raises(ValueError, match="negative_weights='raise'"):
        clone(model).set_params(negative_weights="raise").fit(original, target, w_original)
    model = clone(model).set_params(negative_weights="raise")
    model.fit(original, target, np.abs(w_original), np.abs(w_target))


@every_plain
def test_replicas(model):
    original, target, w_original, w_target = samples()
    model = clone(model).set_params(n_replicas=0)
    model.fit(original, target, w_original, w_target)
    with pytest.raises(ValueError, match="was fitted without replicas: set n_replicas"):
        model.predict_weights(original, return_std=True)
    with pytest.raises(ValueError, match="was fitted without replicas: set n_replicas"):
        model.replica_weights(original)
    nominal = model.predict_weights(original, w_original)
    model.set_params(n_replicas=3).fit(original, target, w_original, w_target)
    weight, std = model.predict_weights(original, w_original, return_std=True)
    replicas = model.replica_weights(original, w_original)
    assert replicas.shape == (3, 300)
    np.testing.assert_allclose(replicas.std(axis=0, ddof=1), std, rtol=1e-9)
    assert (std > 0).any()
    # the nominal weights do not depend on how many replicas there are, nor the first replicas
    model.set_params(n_replicas=2).fit(original, target, w_original, w_target)
    np.testing.assert_array_equal(model.predict_weights(original, w_original), weight)
    np.testing.assert_array_equal(model.replica_weights(original, w_original), replicas[:2])
    np.testing.assert_array_equal(weight, nominal)


@every_plain
def test_disjoint_supports_are_announced(model):
    original, target, *_ = samples()
    with pytest.warns(SupportWarning) as record:
        clone(model).fit(original, target.assign(pt=target["pt"] + 5.0))
    messages = [str(warning.message) for warning in record if warning.category is SupportWarning]
    assert any("events of target lie outside the range of original" in m for m in messages)
    assert any("events of original lie outside the range of target" in m for m in messages)
    assert all("'pt'" in m and "'eta'" not in m for m in messages)
    # the warning points at the line that calls fit
    assert record[0].filename == __file__


@every
def test_float32_is_taken(model):
    original, target, *weights = samples()
    single = [s.to_numpy(dtype=np.float32) for s in (original, target)]
    model = clone(model).fit(*single, *weights)
    assert np.isfinite(apply(model, single[0])).all()


@every_reweighter
def test_metadata_routing_on(model):
    original, target, *weights = samples()
    expected = apply(clone(model).fit(original, target, *weights), original)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = apply(clone(model).fit(original, target, *weights), original)
    np.testing.assert_array_equal(routed, expected)


def test_missing_values_outside_the_support():
    original, target, *_ = samples()
    target.loc[::3, "eta"] = np.nan
    with pytest.warns(SupportWarning, match=r"target lie outside .* 1 features: 'eta' \(33.7%\)"):
        GBReweighter(**FAST_GB).fit(original, target)
    original["eta"] = np.nan
    with pytest.warns(SupportWarning, match=r"'eta' \(66.6%\)"):
        GBReweighter(**FAST_GB).fit(original, target)


def test_chance_is_no_lack_of_support():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            BinsReweighter(5, 1).fit(rng.normal(size=(50, 3)), rng.normal(size=(50, 3)))


def test_replica_without_weight():
    with pytest.raises(ValueError, match=r"sum to .* in replica \d+: the sample is too small"):
        BinsReweighter(2, n_replicas=50, random_state=0).fit([0.0], [0.0])
