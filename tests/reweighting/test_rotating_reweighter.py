import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression

from skhep_ml._hashing import event_fold
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.reweighting import FoldingReweighter, GBReweighter, RotatingReweighter


class Memory(BaseEstimator):
    """Weight 1 for new events and -1 for those of the training, told by their first column."""

    def fit(self, original, target, original_weight=None, target_weight=None, *, groups=None):
        self.original_ = set(np.asarray(original)[:, 0].tolist())
        self.target_ = set(np.asarray(target)[:, 0].tolist())
        self.weights_ = original_weight, target_weight
        self.groups_ = groups
        return self

    def predict_weights(self, original, original_weight=None):
        known = [value in self.original_ for value in np.asarray(original)[:, 0].tolist()]
        return np.where(known, -1.0, 1.0)


def gaussians(n=6000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.normal(0.3, 1.0, size=(n + 500, 2)), rng.permutation(n) + 7


def gb(**params):
    return GBReweighter(n_estimators=10, device="cpu", n_jobs=1, random_state=0, **params)


@pytest.mark.parametrize("n_splits", [2, 5])
def test_no_event_is_weighted_by_a_model_that_saw_it(n_splits):
    original, target, event = gaussians(600)
    model = RotatingReweighter(Memory(), n_splits).fit(
        original, target, np.ones(600), groups=event, target_groups=np.arange(len(target))
    )
    assert (model.predict_weights(original, groups=event) == 1).all()
    fold = event_fold(event, n_splits, "reweighting")
    target_fold = event_fold(np.arange(len(target)), n_splits, "reweighting")
    for k, one in enumerate(model.reweighters_):
        assert one.original_ == set(original[fold != k, 0].tolist())
        assert one.target_ == set(target[target_fold != k, 0].tolist())
        np.testing.assert_array_equal(one.groups_, event[fold != k])
        assert len(one.weights_[0]) == (fold != k).sum()
        assert one.weights_[1] is None


def test_whole_target_without_its_identifiers():
    original, target, event = gaussians(600)
    model = RotatingReweighter(Memory()).fit(original, target, groups=event)
    assert all(len(one.target_) == len(target) for one in model.reweighters_)


def test_rows_subsets_copies_and_chunks_do_not_matter():
    original, target, event = gaussians()
    weight = np.random.default_rng(1).exponential(size=len(original))
    model = RotatingReweighter(gb()).fit(original, target, weight, groups=event)
    weights = model.predict_weights(original, weight, groups=event)
    order = np.random.default_rng(2).permutation(len(original))[:1000]
    np.testing.assert_array_equal(
        model.predict_weights(original[order], weight[order], groups=event[order]), weights[order]
    )
    shuffled = clone(model).fit(original[order], target, weight[order], groups=event[order])
    again = np.argsort(order)
    np.testing.assert_allclose(
        shuffled.predict_weights(original[order], groups=event[order])[again],
        clone(model)
        .fit(original[np.sort(order)], target, weight[np.sort(order)], groups=event[np.sort(order)])
        .predict_weights(original[np.sort(order)], groups=event[np.sort(order)]),
        rtol=1e-4,
    )
    assert model.n_features_in_ == 2


def test_variations_take_the_model_of_their_event():
    original, target, event = gaussians()
    model = RotatingReweighter(gb()).fit(original, target, groups=event)
    moved = original + 0.1
    fold = event_fold(event, 2, "reweighting")
    expected = np.empty(len(event))
    for k, one in enumerate(model.reweighters_):
        expected[fold == k] = model.normalization_[k] * one.predict_weights(moved[fold == k])
    np.testing.assert_array_equal(model.predict_weights(moved, groups=event), expected)


def test_identifiers_may_ride_in_both_samples():
    original, target, event = gaussians()
    frames = [
        pd.DataFrame({"x": sample[:, 0], "event": ids, "y": sample[:, 1]})
        for sample, ids in ((original, event), (target, np.arange(len(target))))
    ]
    model = RotatingReweighter(gb(), id_columns="event").fit(*frames)
    assert model.feature_names_in_.tolist() == ["x", "y"]
    by_groups = RotatingReweighter(gb()).fit(
        original, target, groups=event, target_groups=np.arange(len(target))
    )
    np.testing.assert_array_equal(
        model.predict_weights(frames[0]), by_groups.predict_weights(original, groups=event)
    )


def mean_of(model, X):
    ratios = [one.predict_weights(X) for one in model.reweighters_]
    return np.mean(model.normalization_[:, None] * ratios, axis=0)


def test_without_identifiers():
    original, target, event = gaussians()
    model = RotatingReweighter(gb()).fit(original, target, groups=event)
    with pytest.raises(ValueError, match="fitted with event identifiers"):
        model.predict_weights(original)
    model.set_params(unidentified="mean")
    mean = mean_of(model, original)
    np.testing.assert_allclose(model.predict_weights(original), mean)
    with pytest.warns(UnidentifiedEventsWarning, match="row order"):
        blind = RotatingReweighter(gb()).fit(original, target)
    mean = mean_of(blind, original)
    np.testing.assert_allclose(blind.predict_weights(original, groups=event), mean)


@pytest.mark.parametrize("target_groups", [True, False])
@pytest.mark.parametrize("outer", ["rotating", "folding"])
def test_each_fold_has_the_sum_it_should_have(outer, target_groups):
    original, target, event = gaussians()
    weight = np.random.default_rng(0).exponential(size=len(original))
    # so many leaves that a model is far from right on its own events
    greedy = GBReweighter(
        30, max_depth=6, min_samples_leaf=10, device="cpu", n_jobs=1, random_state=0
    )
    for normalize, wanted in (("original", weight.sum()), ("target", 2.0 * len(target))):
        greedy.set_params(normalize=normalize)
        sample = (original, target, weight, np.full(len(target), 2.0))
        if outer == "folding":
            new = folding(greedy).fit(*sample).predict_weights(original, weight)
        else:
            ids = {"target_groups": np.arange(len(target))} if target_groups else {}
            model = RotatingReweighter(greedy, 3).fit(*sample, groups=event, **ids)
            new = model.predict_weights(original, weight, groups=event)
            fold = event_fold(event, 3, "reweighting")
            share = np.bincount(fold, weight) / weight.sum()
            np.testing.assert_allclose(np.bincount(fold, new), wanted * share)
            assert (
                model.normalization_ < 0.99 if target_groups else model.normalization_ < 1
            ).all()
        np.testing.assert_allclose(new.sum(), wanted)
    free = RotatingReweighter(greedy.set_params(normalize=None)).fit(*sample, groups=event)
    np.testing.assert_array_equal(free.normalization_, 1)


def test_a_fold_without_positive_sum_is_refused():
    original, target, event = gaussians(600)
    weight = np.where(event_fold(event, 3, "reweighting") == 0, -0.1, 1.0)
    with pytest.raises(ValueError, match="fold 0 of original sums to -"):
        RotatingReweighter(gb(min_samples_leaf=10), 3).fit(original, target, weight, groups=event)


def test_signs_stay_and_weights_may_all_be_zero():
    original, target, event = gaussians()
    model = RotatingReweighter(gb()).fit(original, target, groups=event)
    sign = np.where(np.arange(len(event)) % 3 == 0, -2.0, 1.0)
    ratio = model.predict_weights(original, groups=event)
    np.testing.assert_allclose(model.predict_weights(original, sign, groups=event), sign * ratio)
    assert not model.predict_weights(original[:5], np.zeros(5), groups=event[:5]).any()


def test_replicas_pass_through():
    original, target, event = gaussians()
    model = RotatingReweighter(gb(n_replicas=3)).fit(original, target, groups=event)
    weights, std = model.predict_weights(original, 2 * np.ones(6000), groups=event, return_std=True)
    replicas = model.replica_weights(original, 2 * np.ones(6000), groups=event)
    assert replicas.shape == (3, 6000)
    np.testing.assert_allclose(replicas.std(axis=0, ddof=1), std, rtol=1e-6)
    np.testing.assert_allclose(
        weights, model.predict_weights(original, 2 * np.ones(6000), groups=event)
    )
    model.set_params(unidentified="mean")
    _, std = model.predict_weights(original, return_std=True)
    np.testing.assert_allclose(model.replica_weights(original).std(axis=0, ddof=1), std)
    assert not hasattr(RotatingReweighter(Memory()), "replica_weights")


def test_clone_pickle_jobs_and_refit():
    original, target, event = gaussians(2000)
    model = RotatingReweighter(gb(), n_jobs=2)
    with parallel_config(backend="threading"):
        model.fit(original, target, groups=event)
    weights = model.predict_weights(original, groups=event)
    model.set_params(n_jobs=None).fit(original, target, groups=event)
    assert len(model.reweighters_) == 2
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_weights(original, groups=event), weights)
    other = RotatingReweighter(gb(), salt=1).fit(original, target, groups=event)
    assert not np.array_equal(other.predict_weights(original, groups=event), weights)


@pytest.mark.parametrize(
    ("params", "fit", "message"),
    [
        ({"n_splits": 1}, {}, "n_splits must be"),
        ({"unidentified": "no"}, {}, "unidentified must be"),
        ({}, {"groups": np.arange(600.0)}, "must be integers"),
        ({}, {"groups": np.arange(5)}, "5 entries"),
        ({}, {"groups": np.zeros(600, dtype=int)}, "no event falls in fold"),
        ({}, {"target_groups": np.arange(3)}, "3 entries"),
        ({}, {"original_weight": np.ones(3)}, "original_weight has 3 entries"),
        ({"id_columns": "event"}, {}, "needs a DataFrame"),
    ],
)
def test_wrong_input_is_refused(params, fit, message):
    original, target, event = gaussians(600)
    with pytest.raises(ValueError, match=message):
        RotatingReweighter(Memory(), **params).fit(original, target, **{"groups": event, **fit})


@pytest.mark.parametrize("wrong", [LogisticRegression(), GBReweighter, None])
@pytest.mark.parametrize("outer", [RotatingReweighter, FoldingReweighter])
def test_what_is_no_reweighter_is_refused(outer, wrong):
    original, target, _ = gaussians(60)
    with pytest.raises(TypeError, match="is no reweighter"):
        outer(wrong).fit(original, target)


def test_wrong_identifiers_of_predictions_are_refused():
    original, target, event = gaussians(600)
    model = RotatingReweighter(Memory()).fit(original, target, groups=event)
    with pytest.raises(ValueError, match="2 columns, but 1 in fit"):
        model.predict_weights(original, groups=np.column_stack([event, event]))
    with pytest.raises(ValueError, match="original_weight has 2 entries"):
        model.predict_weights(original, [1.0, 2.0], groups=event)


# --- FoldingReweighter ---------------------------------------------------------------------------


def folding(reweighter=None, **params):
    return FoldingReweighter(gb() if reweighter is None else reweighter, verbose=False, **params)


def test_events_are_recognised_in_any_order_and_selection():
    original, target, _ = gaussians(900)
    model = folding(Memory(), n_folds=3).fit(original, target)
    assert (model.predict_weights(original) == 1).all()
    order = np.random.default_rng(0).permutation(900)
    assert (model.predict_weights(original[order]) == 1).all()
    assert (model.predict_weights(original[order[:100]]) == 1).all()
    assert (model.predict_weights(original[original[:, 1] > 0]) == 1).all()
    # a copy in single precision is the same sample
    single = original.astype(np.float32).astype(float)
    again = folding(Memory()).fit(single, target)
    assert (again.predict_weights(single.astype(np.float32)) == 1).all()


def test_hep_ml_interface():
    original, target, _ = gaussians()
    weight = np.random.default_rng(0).exponential(size=len(original))
    model = FoldingReweighter(gb(), 3, 5, False)
    model.fit(original, target, weight, None)
    weights = model.predict_weights(original, weight)
    votes = [
        weight * factor * one.predict_weights(original)
        for one, factor in zip(model.reweighters_, model.normalization_, strict=True)
    ]
    voted = model.predict_weights(original, weight, lambda w: np.median(w, axis=0))
    np.testing.assert_allclose(voted, np.median(votes, axis=0))
    rows = np.random.default_rng(1).permutation(len(original))
    np.testing.assert_array_equal(
        model.predict_weights(original[rows], weight[rows]), weights[rows]
    )
    model.fit(original, target, weight)
    assert len(model.reweighters_) == 3
    np.testing.assert_array_equal(model.predict_weights(original, weight), weights)


def test_verbose_prints_how(capsys):
    original, target, _ = gaussians(300)
    model = FoldingReweighter(Memory()).fit(original, target)
    model.predict_weights(original)
    model.predict_weights(original, vote_function=lambda w: w.mean(axis=0))
    said = capsys.readouterr().out
    assert "event's fold" in said
    assert "vote" in said


def test_columns_are_taken_by_name_and_missing_values_pass():
    original, target, _ = gaussians()
    original[::7, 1] = np.nan
    target[::7, 1] = np.nan
    frame = pd.DataFrame(original, columns=["a", "b"])
    model = folding().fit(frame, pd.DataFrame(target[:, ::-1], columns=["b", "a"]))
    weights = model.predict_weights(frame)
    np.testing.assert_array_equal(model.predict_weights(frame[["b", "a"]]), weights)
    np.testing.assert_array_equal(
        folding().fit(original, target).predict_weights(original), weights
    )
    series = folding().fit(frame["a"], target[:, 0]).predict_weights(frame["a"])
    assert series.shape == (6000,)
    with pytest.raises(ValueError, match="different columns"):
        folding().fit(frame, pd.DataFrame(target, columns=["a", "c"]))


def test_random_state_moves_the_folds():
    original, target, _ = gaussians()
    first = [folding(random_state=seed).fit(original, target) for seed in (None, None, 1, 1, 2)]
    weights = [model.predict_weights(original) for model in first]
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[2], weights[3])
    assert not np.array_equal(weights[2], weights[4])
    again = pickle.loads(pickle.dumps(clone(first[2]).fit(original, target)))
    np.testing.assert_array_equal(again.predict_weights(original), weights[2])


def test_events_of_few_kinds_are_warned_about():
    rng = np.random.default_rng(0)
    original, target = rng.integers(0, 40, (2000, 1)), rng.integers(0, 40, (2000, 1))
    with pytest.warns(UnidentifiedEventsWarning, match="equal another"):
        folding().fit(original, target)


def test_folding_refuses_what_it_cannot_do():
    original, target, _ = gaussians(300)
    with pytest.raises(ValueError, match="n_splits must be"):
        folding(n_folds=1).fit(original, target)
    with pytest.raises(ValueError, match="original_weight has 2 entries"):
        folding().fit(original, target, [1.0, 2.0])
    with pytest.raises(ValueError, match="no event falls in fold"):
        folding().fit(np.ones((300, 2)), target)


def test_agrees_with_hep_ml_in_quality():
    reweight = pytest.importorskip("hep_ml.reweight")
    original, target, _ = gaussians(4000)
    theirs = reweight.FoldingReweighter(
        reweight.GBReweighter(n_estimators=10), random_state=0, verbose=False
    ).fit(original, target)
    rows = np.random.default_rng(0).permutation(4000)
    there = theirs.predict_weights(original)
    # their folds follow the rows: permuted events get other weights
    assert np.mean(theirs.predict_weights(original[rows]) == there[rows]) < 0.8
    ours = folding().fit(original, target).predict_weights(original)
    assert np.corrcoef(np.log(ours), np.log(there))[0, 1] > 0.85
