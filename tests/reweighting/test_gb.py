"""GBReweighter against closed forms, a slow implementation of its formula, and hep_ml."""

import json
import warnings

import numpy as np
import pytest
from scipy.stats import norm

from skhep_ml.exceptions import BiasedWeightsWarning, SupportWarning, WeightWarning
from skhep_ml.metrics import roc_auc_score
from skhep_ml.reweighting import GBReweighter


def fast(**params):
    return GBReweighter(**{"n_jobs": 1, "device": "cpu", "random_state": 0, **params})


def two_gaussians(n, seed=0, shift=0.4, width=0.9):
    """Original N(0, 1) and target N(shift, width) in the first of two features."""
    rng = np.random.default_rng(seed)
    original, target = rng.normal(size=(n, 2)), rng.normal(size=(n, 2))
    target[:, 0] = shift + width * target[:, 0]
    return original, target


def log_ratio(x, shift=0.4, width=0.9):
    return norm.logpdf(x, shift, width) - norm.logpdf(x)


def signed_sample(n, rng, shift=0.0):
    """Density 1.25 N(shift, 1) - 0.25 N(shift + 0.5, 0.6) as positive and negative events."""
    negative = rng.random(n) < 0.25 / 1.5
    x = np.where(negative, rng.normal(0.5, 0.6, n), rng.normal(0.0, 1.0, n)) + shift
    return x[:, None], np.where(negative, -1.0, 1.0)


def signed_density(x, shift=0.0):
    return 1.25 * norm.pdf(x, shift) - 0.25 * norm.pdf(x, shift + 0.5, 0.6)


# --- truth --------------------------------------------------------------------------------------


def test_ratio_of_two_gaussians():
    original, target = two_gaussians(20_000)
    model = fast(n_estimators=60).fit(original, target)
    events, _ = two_gaussians(20_000, seed=1)
    error = np.log(model.predict_weights(events)) - log_ratio(events[:, 0])
    assert np.sqrt(np.mean(error**2)) < 0.12
    weight = model.predict_weights(events)
    assert np.average(events[:, 0], weights=weight) == pytest.approx(0.4, abs=0.02)
    assert np.cov(events[:, 0], aweights=weight) == pytest.approx(0.81, abs=0.03)


def test_correlation_appears():
    rng = np.random.default_rng(0)
    original = rng.normal(size=(20_000, 2))
    target = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 20_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        weight = fast(n_estimators=100).fit(original, target).predict_weights(original)
    correlation = np.cov(original.T, aweights=weight)
    assert correlation[0, 1] == pytest.approx(0.5, abs=0.05)


def slow_reweighting(model, original, target, w_original, w_target, rate, regularization):
    """Log ratio by the definition: sums of weights in the leaves of the fitted trees."""
    n = 2 / (1 / len(original) + 1 / len(target))
    w_target = w_target * n / w_target.sum()
    score = np.zeros(len(original))
    trees = json.loads(bytes(model.booster_.save_raw("json")))
    for tree in trees["learner"]["gradient_booster"]["model"]["trees"]:

        def leaf_of(x, tree=tree):
            node = 0
            while tree["left_children"][node] >= 0:
                left = x[tree["split_indices"][node]] < tree["split_conditions"][node]
                node = tree["left_children" if left else "right_children"][node]
            return node

        leaf, leaf_target = (np.array([leaf_of(x) for x in s]) for s in (original, target))
        w = w_original * np.exp(score)
        w *= n / w.sum()
        step = np.zeros(len(tree["left_children"]))
        for k in np.unique(np.append(leaf, leaf_target)):
            sums = w_target[leaf_target == k].sum(), w[leaf == k].sum()
            step[k] = np.log((sums[0] + regularization) / (sums[1] + regularization))
        score += rate * step[leaf]
    return score


def test_leaves_are_log_ratios_of_sums():
    rng = np.random.default_rng(0)
    # few values, all of them float32
    original = rng.integers(0, 20, (1500, 3)).astype(np.float32)
    target = np.minimum(rng.integers(0, 24, (1000, 3)), 19).astype(np.float32)
    model = fast(n_estimators=8, min_samples_leaf=20, loss_regularization=7, normalize=None)
    weight = model.fit(original, target).predict_weights(original)
    expected = slow_reweighting(model, original, target, np.ones(1500), np.ones(1000), 0.2, 7)
    np.testing.assert_allclose(np.log(weight), expected, atol=2e-5)
    assert np.ptp(expected) > 0.5


def residual_auc(original, weight, target):
    """Independent classifier, trained on one half and judged on the other."""
    from skhep_ml.ensemble import BDTClassifier

    X = np.concatenate([original, target])
    y = np.repeat([0, 1], [len(original), len(target)])
    w = np.concatenate([weight / weight.mean(), np.ones(len(target))])
    train = np.arange(len(y)) % 2 == 0
    judge = BDTClassifier(50, max_depth=3, n_jobs=1, device="cpu", random_state=0)
    judge.fit(X[train], y[train], sample_weight=w[train])
    return roc_auc_score(y[~train], judge.predict_proba(X[~train])[:, 1], sample_weight=w[~train])


def test_no_worse_than_hep_ml():
    reweight = pytest.importorskip("hep_ml.reweight")
    original, target = two_gaussians(5000)
    events, like = two_gaussians(10_000, seed=1)
    ours = fast().fit(original, target).predict_weights(events)
    peer = reweight.GBReweighter(gb_args={"random_state": 0}).fit(original, target)
    theirs = peer.predict_weights(events)
    # bins and penalised gains make other trees of the same kind
    assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] > 0.97
    before = residual_auc(events, np.ones(len(events)), like)
    after = residual_auc(events, ours, like), residual_auc(events, theirs, like)
    assert before > 0.6
    assert after[0] < after[1] + 0.01 < 0.55


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_signed_weights_on_both_sides(policy):
    rng = np.random.default_rng(0)
    original, w_original = signed_sample(15_000, rng)
    target, w_target = signed_sample(15_000, rng, shift=0.3)
    x = rng.normal(0, 0.9, 5000)
    truth = np.log(signed_density(x, 0.3) / signed_density(x))

    def rms(policy):
        model = fast(negative_weights=policy).fit(original, target, w_original, w_target)
        return np.sqrt(np.mean((np.log(model.predict_weights(x)) - truth) ** 2))

    with pytest.warns(BiasedWeightsWarning):
        dropped = rms("drop")
    assert rms(policy) < min(dropped, 0.15)


def test_signs_stay():
    rng = np.random.default_rng(0)
    original, weight = signed_sample(3000, rng)
    target, _ = signed_sample(3000, rng)
    model = fast().fit(original, target, weight)
    np.testing.assert_array_equal(np.sign(model.predict_weights(original, weight)), weight)


def test_negative_region_of_the_original():
    rng = np.random.default_rng(0)
    original = np.concatenate([rng.normal(0, 1, 3000), rng.normal(2, 0.3, 900)])
    weight = np.repeat([1.0, -1.0], [3000, 900])
    target = rng.normal(2, 0.3, 3000)
    # the target lies where the original sums to less than nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        model = fast(negative_weights="keep", min_samples_leaf=50)
        with pytest.raises(ValueError, match="negative weights prevail where the target lies"):
            model.fit(original, target, weight)


def test_unit_of_weights_does_not_matter():
    rng = np.random.default_rng(0)
    original, target = two_gaussians(5000)
    weights = rng.lognormal(size=5000), rng.lognormal(size=5000)
    plain = fast().fit(original, target, *weights).predict_weights(original)
    scaled = fast().fit(original, target, weights[0] * 1e-6, weights[1] * 1e4)
    np.testing.assert_allclose(scaled.predict_weights(original), plain, rtol=1e-3)


def test_size_of_the_samples_is_effective():
    # every event twice at half the weight: the same samples, twice the raw events
    original, target = two_gaussians(3000)
    original, target = np.round(original, 1), np.round(target, 1)
    few = fast(n_estimators=5).fit(original, target).predict_weights(original)
    twice = fast(n_estimators=5, min_samples_leaf=400, loss_regularization=10)
    twice.fit(np.tile(original, (2, 1)), np.tile(target, (2, 1)))
    np.testing.assert_allclose(twice.predict_weights(original), few, rtol=1e-5)


def test_order_of_rows_does_not_matter():
    original, target = two_gaussians(5000)
    # few values, so that bins are exact
    original, target = np.round(original, 1), np.round(target, 1)
    order = np.random.default_rng(0).permutation(5000)
    plain = fast().fit(original, target).predict_weights(original)
    shuffled = fast().fit(original[order], target[order[::-1]]).predict_weights(original)
    np.testing.assert_allclose(shuffled, plain, rtol=1e-4)


def test_normalisation():
    original, target = two_gaussians(4000)
    weight, w_target = np.full(4000, 0.5), np.full(4000, 3.0)
    sums = {}
    for normalize in ("original", "target", None):
        model = fast(normalize=normalize).fit(original, target, weight, w_target)
        sums[normalize] = model.predict_weights(original, weight).sum()
    assert sums["original"] == pytest.approx(2000)
    assert sums["target"] == pytest.approx(12_000)
    assert sums[None] != pytest.approx(2000, rel=1e-6)
    # the weight of an event does not depend on the others
    np.testing.assert_array_equal(
        model.predict_weights(original)[:7], model.predict_weights(original[:7])
    )


def test_replicas_cover_the_spread_of_independent_fits():
    x = np.linspace(-1.5, 1.5, 200)
    fits = []
    for seed in range(8):
        original, target = (s[:, :1] for s in two_gaussians(4000, seed=seed))
        fits.append(fast(n_estimators=20).fit(original, target).predict_weights(x))
    model = fast(n_estimators=20, n_replicas=8).fit(original, target)
    _, std = model.predict_weights(x, return_std=True)
    spread = np.std(fits, axis=0, ddof=1)
    assert 0.6 < np.sqrt(np.mean(std**2) / np.mean(spread**2)) < 1.6
    replicas = model.replica_weights(x, np.full(200, -2.0))
    assert replicas.shape == (8, 200)
    np.testing.assert_allclose(replicas.std(axis=0, ddof=1), 2 * std, rtol=1e-6)


# --- behaviour ----------------------------------------------------------------------------------


def test_region_without_original_does_not_run_away():
    rng = np.random.default_rng(0)
    original = rng.uniform(0, 1, 4000)
    target = np.concatenate([rng.uniform(0, 1, 3500), rng.uniform(1.0, 1.2, 500)])
    with pytest.warns(SupportWarning, match="target lie outside the range of original"):
        model = fast().fit(original, target)
    inside = model.predict_weights(original)
    assert model.predict_weights([1.1])[0] <= inside.max() < 20


def test_missing_values_are_reweighted():
    rng = np.random.default_rng(0)
    original, target = rng.normal(size=(5000, 1)), rng.normal(size=(5000, 1))
    original[rng.random(5000) < 0.3] = np.nan
    target[rng.random(5000) < 0.5] = np.nan
    weight = fast().fit(original, target).predict_weights(original)
    assert np.average(np.isnan(original[:, 0]), weights=weight) == pytest.approx(0.5, abs=0.02)


def test_seed_decides_everything():
    original, target = two_gaussians(3000)
    args = {"subsample": 0.5, "max_features": 1}

    def weights(**params):
        return fast(gb_args=args, **params).fit(original, target).predict_weights(original)

    np.testing.assert_array_equal(weights(random_state=1), weights(random_state=1))
    assert not np.array_equal(weights(random_state=1), weights(random_state=2))
    in_args = GBReweighter(gb_args={**args, "random_state": 1}, n_jobs=1, device="cpu")
    first = in_args.fit(original, target).predict_weights(original)
    np.testing.assert_array_equal(in_args.fit(original, target).predict_weights(original), first)


def test_hep_ml_arguments_by_position():
    model = GBReweighter(30, 0.1, 2, 100, 3.0, {"subsample": 0.5})
    named = model.get_params()
    assert (named["n_estimators"], named["learning_rate"], named["max_depth"]) == (30, 0.1, 2)
    assert (named["min_samples_leaf"], named["loss_regularization"]) == (100, 3.0)
    assert named["gb_args"] == {"subsample": 0.5}


@pytest.mark.parametrize(
    ("args", "depth", "leaves"),
    [({"max_leaf_nodes": 3}, 3, 3), ({"max_leaf_nodes": 4}, None, 4), ({}, 2, 4)],
)
def test_size_of_trees(args, depth, leaves):
    original, target = two_gaussians(3000)
    model = fast(n_estimators=3, max_depth=depth, min_samples_leaf=20, gb_args=args)
    trees = model.fit(original, target).booster_.get_dump()
    assert [tree.count("leaf=") for tree in trees] == [leaves] * 3


@pytest.mark.parametrize(
    ("max_features", "count"), [("sqrt", 2), ("log2", 2), (1, 1), (3, 3), (0.5, 2), (1.0, 4)]
)
def test_features_of_a_split(max_features, count):
    model = fast(gb_args={"max_features": max_features})
    model.n_features_in_ = 4
    assert int(4 * model._feature_share(max_features)) == count


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_estimators": 0}, "n_estimators must be an integer of at least 1, got 0"),
        ({"max_depth": 2.5}, "max_depth"),
        ({"learning_rate": -0.1}, "learning_rate must be a positive number, got -0.1"),
        ({"min_samples_leaf": 0}, "min_samples_leaf"),
        ({"min_samples_leaf": 0.1}, "min_samples_leaf=0.1 counts effective events"),
        ({"loss_regularization": 0}, "loss_regularization"),
        ({"max_bin": 1}, "max_bin"),
        ({"device": "gpu"}, "device"),
        ({"gb_args": {"criterion": "mse"}}, r"gb_args has \['criterion'\]"),
        ({"gb_args": {"train_features": ["a"]}}, "select features by the columns"),
        ({"gb_args": {"subsample": 0}}, r"\['subsample'\] must lie in"),
        ({"gb_args": {"max_features": 3}}, "max_features"),
        ({"gb_args": {"max_features": "all"}}, "max_features"),
        ({"gb_args": {"max_leaf_nodes": 1}}, "max_leaf_nodes"),
        ({"gb_args": {"min_samples_split": 500}}, "raise min_samples_leaf"),
        ({"gb_args": {"min_samples_split": 0.1}}, "is no integer up to twice"),
        ({"gb_args": {"update_tree": False}}, "can only be True"),
        ({"gb_args": {"splitter": "random"}}, "can only be 'best'"),
        ({"gb_args": {"random_state": 3}}, "given twice"),
    ],
)
def test_wrong_parameters(params, message):
    original, target = two_gaussians(100)
    with pytest.raises(ValueError, match=message):
        fast(**params).fit(original, target)


def test_samples_too_small_for_a_split():
    original, target = two_gaussians(150)
    with pytest.warns(WeightWarning, match="too few for two leaves of min_samples_leaf=200"):
        model = fast().fit(original, target)
    np.testing.assert_allclose(model.predict_weights(original), 1.0)


def test_float32_and_float64_agree():
    original, target = (s.astype(np.float32) for s in two_gaussians(2000))
    single = fast().fit(original, target).predict_weights(original)
    double = fast().fit(original.astype(float), target.astype(float)).predict_weights(original)
    np.testing.assert_array_equal(single, double)


def test_values_beyond_the_engine():
    original, target = two_gaussians(1000)
    with pytest.raises(ValueError, match=r"columns \[1\] hold values beyond the range of float32"):
        fast().fit(original * [1, 1e300], target * [1, 1e300])
