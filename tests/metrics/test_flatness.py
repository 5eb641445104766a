"""Flatness against closed forms, a slow implementation and hep_ml."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skhep_ml.datasets import make_dalitz
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import WeightWarning
from skhep_ml.metrics import (
    cvm_flatness,
    flatness_scorer,
    ks_flatness,
    sde_flatness,
    theil_flatness,
)

METRICS = {
    "sde": sde_flatness,
    "theil": theil_flatness,
    "cvm": cvm_flatness,
    "ks": ks_flatness,
}
CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)


def slow_groups(X, method, n_bins, strategy, n_neighbors):
    """Lists of events, one a group."""
    n = len(X)
    if method == "knn":
        scaled = X / X.std(axis=0)
        distance = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=-1)
        return [list(np.argsort(row, kind="stable")[:n_neighbors]) for row in distance]
    cells = []
    for column in X.T:
        levels = np.linspace(0, 1, n_bins + 1)[1:-1]
        low, high = column.min(), column.max()
        edges = (
            np.quantile(column, levels) if strategy == "quantile" else low + levels * (high - low)
        )
        cells.append([sum(value >= edge for edge in edges) for value in column])
    names = list(zip(*cells, strict=True))
    return [[i for i in range(n) if names[i] == cell] for cell in set(names)]


def slow_flatness(score, X, weight, method="bins", n_bins=10, strategy="quantile", n_neighbors=50):
    """All four metrics, from their definitions."""
    groups = slow_groups(X, method, n_bins, strategy, n_neighbors)
    shared = weight / np.bincount(np.concatenate(groups), minlength=len(X))
    used = []
    for group in groups:
        total = shared[group].sum()
        if total > 0 and total**2 >= (shared[group] ** 2).sum() * (1 - 1e-9):
            used.append(group)
    share = np.array([shared[group].sum() for group in used])
    share /= share.sum()

    def distribution(at, members, w, equal):
        parts = [
            (w[members] * ((score[members] < s) + equal * (score[members] == s))).sum() for s in at
        ]
        return np.array(parts) / w[members].sum()

    levels, everything = np.unique(score), list(range(len(X)))
    steps = np.array([weight[score == s].sum() for s in levels]) / weight.sum()
    middle = distribution(levels, everything, weight, 0.5)
    full = distribution(levels, everything, weight, 1.0)
    sde = theil = 0.0
    for target in CUTS:
        passing = [weight[score >= s].sum() / weight.sum() for s in levels[::-1]]
        first = next(k for k, value in enumerate(passing) if value >= target - 1e-12)
        cut, overall = levels[::-1][first], passing[first]
        local = [shared[g][score[g] >= cut].sum() / shared[g].sum() for g in used]
        sde += (share * (np.array(local) - overall) ** 2).sum() / len(CUTS)
        ratio = np.maximum(np.array(local) / overall, 1e-300)
        theil += (share * ratio * np.log(ratio)).sum() / len(CUTS)
    cvm = ks = 0.0
    for part, group in zip(share, used, strict=True):
        cvm += part * (steps * (distribution(levels, group, shared, 0.5) - middle) ** 2).sum()
        ks += part * np.abs(distribution(levels, group, shared, 1.0) - full).max()
    return {"sde": np.sqrt(sde), "theil": theil, "cvm": cvm, "ks": ks}


def make_sample(seed, *, ties=False, signed=False, n=240):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 2)) * [1, 50]
    score = rng.normal(X[:, 0])
    weight = rng.exponential(size=n) * (np.where(rng.random(n) < 0.2, -1, 1) if signed else 1)
    weight[:5] = 0
    return y, np.round(score, 1) if ties else score, X, weight


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("method", "strategy"), [("bins", "quantile"), ("bins", "uniform"), ("knn", "quantile")]
)
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
def test_against_the_definition(signed, ties, method, strategy):
    y, score, X, weight = make_sample(2, ties=ties, signed=signed)
    options = {"method": method, "n_bins": 4, "strategy": strategy, "n_neighbors": 15}
    rows = (y == 1) & (weight != 0)
    expected = slow_flatness(score[rows], X[rows], weight[rows], **options)
    for name, metric in METRICS.items():
        value = metric(y, score, X, uniform_label=1, sample_weight=weight, **options)
        assert value == pytest.approx(expected[name], rel=1e-10, abs=1e-14), name


def test_two_bins_in_closed_form():
    # the upper half of the scores sits in the upper half of the mass
    mass, y = np.arange(1000.0), np.zeros(1000)
    options = {"uniform_label": 0, "n_bins": 2}
    assert sde_flatness(y, mass, mass, efficiencies=[0.5], **options) == pytest.approx(0.5)
    assert sde_flatness(y, mass, mass, efficiencies=[0.5, 0.25], **options) == pytest.approx(
        np.sqrt((0.25 + 0.0625) / 2)
    )
    assert sde_flatness(y, mass, mass, efficiencies=[0.5], power=1, **options) == pytest.approx(0.5)
    assert theil_flatness(y, mass, mass, efficiencies=[0.5], **options) == pytest.approx(np.log(2))
    # F_g - F is t on one half and 1 - t on the other
    assert cvm_flatness(y, mass, mass, **options) == pytest.approx(1 / 12, rel=1e-5)
    assert ks_flatness(y, mass, mass, **options) == pytest.approx(0.5)


def test_extremes():
    mass, y = np.arange(500.0), np.ones(500)
    for metric in METRICS.values():
        assert metric(y, np.zeros(500), mass, uniform_label=1) == pytest.approx(0, abs=1e-12)
        one_group = metric(y, mass, mass, uniform_label=1, n_bins=1)
        assert one_group == pytest.approx(0, abs=1e-12)
    # groups of one event: step functions against the diagonal
    options = {"uniform_label": 1, "method": "knn", "n_neighbors": 1}
    t = (np.arange(500) + 0.5) / 500
    expected = np.mean([np.mean(((t > s) + 0.5 * (t == s) - t) ** 2) for s in t])
    assert cvm_flatness(y, mass, mass, **options) == pytest.approx(expected)
    assert expected < 1 / 3


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-6, 1e6))
@settings(max_examples=15, deadline=None)
def test_units_order_and_other_labels_do_not_matter(seed, scale):
    y, score, X, weight = make_sample(seed, n=120)
    order = np.random.default_rng(seed).permutation(len(y))
    other = (y == 0).nonzero()
    changed = score.copy()
    changed[other] = -3.0
    for metric in METRICS.values():
        for method in ("bins", "knn"):
            options = {"uniform_label": 1, "method": method, "n_bins": 3, "n_neighbors": 10}
            value = metric(y, score, X, sample_weight=weight, **options)
            again = metric(
                y[order],
                np.exp(changed[order] / 5),
                X[order] * [1000, 1],
                sample_weight=weight[order] * scale,
                **options,
            )
            assert again == pytest.approx(value, rel=1e-8, abs=1e-12)


def test_random_signs_cost_statistics_only():
    n = 200_000
    rng = np.random.default_rng(0)
    mass = rng.uniform(0, 1, n)
    score = rng.normal(mass)
    weight = np.where(rng.random(n) < 0.2, -1.0, 1.0) / 0.6
    y = np.ones(n)
    for name, metric in METRICS.items():
        value = metric(y, score, mass, uniform_label=1)
        signed = metric(y, score, mass, uniform_label=1, sample_weight=weight)
        assert signed == pytest.approx(value, rel=0.1), name


def test_flat_value_is_what_independent_scores_give():
    rng = np.random.default_rng(1)
    y, mass = np.ones(4000), rng.uniform(size=4000)
    for name, metric in METRICS.items():
        values = [metric(y, rng.normal(size=4000), mass, uniform_label=1) for _ in range(20)]
        options = {"uniform_label": 1, "return_flat": True}
        value, flat = metric(y, rng.normal(mass), mass, **options)
        assert flat == pytest.approx(np.mean(values), rel=0.35 if name == "theil" else 0.15), name
        assert value > 1.5 * flat
        assert metric(y, rng.normal(mass), mass, **options)[1] != flat
    options = {"uniform_label": 1, "method": "knn", "return_flat": True}
    few = slice(500)
    knn = [
        cvm_flatness(y[few], mass[few], mass[few], random_state=seed, **options)
        for seed in (0, 0, 1)
    ]
    assert knn[0] == knn[1]
    assert knn[0][1] != knn[2][1]
    # the variance of an efficiency in a bin of n events, eps (1 - eps) / n, less that of the whole
    _, flat = sde_flatness(
        y, rng.normal(size=4000), mass, uniform_label=1, efficiencies=[0.3], return_flat=True
    )
    assert flat == pytest.approx(np.sqrt(0.3 * 0.7 * (10 - 1) / 4000), rel=0.15)


def test_large_groups_are_worked_on_in_blocks(monkeypatch):
    y, score, X, weight = make_sample(5)
    options = {"uniform_label": 1, "sample_weight": weight}
    grids = [{"n_bins": 5}, {"method": "knn", "n_neighbors": 20}]
    values = [metric(y, score, X, **options, **one) for metric in METRICS.values() for one in grids]
    monkeypatch.setattr("skhep_ml.metrics._uniform_groups._BLOCK", 37)
    again = [metric(y, score, X, **options, **one) for metric in METRICS.values() for one in grids]
    np.testing.assert_allclose(again, values, rtol=1e-12)


def test_input_types():
    y, score, X, _ = make_sample(6)
    value = sde_flatness(y, score, X, uniform_label=1, n_bins=3)
    frame = pd.DataFrame(X, columns=["a", "b"])
    names = np.where(y == 1, "signal", "other")
    names[y == 0] = np.where(np.arange((y == 0).sum()) % 2, "Z", "W")
    assert sde_flatness(names, score, frame, uniform_label="signal", n_bins=[3, 3]) == value
    polars = pytest.importorskip("polars")
    assert sde_flatness(y, score, polars.DataFrame(frame), uniform_label=1, n_bins=3) == value
    rows = y == 1
    assert sde_flatness(None, score[rows], X[rows], uniform_label=None, n_bins=3) == value
    one = sde_flatness(y, score, frame["a"], uniform_label=1)
    assert one == sde_flatness(y, score, X[:, :1], uniform_label=1)
    # equal counts do not care about units; few different values share bins
    assert one == sde_flatness(y, score, np.exp(X[:, 0]), uniform_label=1)
    jets = np.arange(len(y)) % 3
    assert sde_flatness(y, score, jets, uniform_label=1) == pytest.approx(
        sde_flatness(y, score, jets, uniform_label=1, n_bins=3, strategy="uniform")
    )


def test_groups_without_weight_are_left_out_and_said():
    mass = np.repeat([0.0, 1.0, 2.0], 100)
    score = np.tile(np.arange(100.0), 3)
    weight = np.ones(300)
    weight[100:200:2] = -1.0
    weight[101] = 0.5
    with pytest.warns(WeightWarning, match=r"1 of 3 groups, with 33\.\d% of the events"):
        value = sde_flatness(
            None,
            score,
            mass,
            uniform_label=None,
            sample_weight=weight,
            n_bins=3,
            strategy="uniform",
        )
    assert value < 0.05
    weight[:] = np.tile([1.0, -0.999], 150)
    with pytest.raises(ValueError, match="the weights of no group of events sum to a positive"):
        sde_flatness(None, score, mass, uniform_label=None, sample_weight=weight)


def test_knn_stays_finite_with_negative_weights():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, score = rng.normal(size=(400, 2)), rng.normal(size=400)
        weight = np.where(rng.random(400) < 0.2, -1.0, 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WeightWarning)
            values = [
                metric(None, score, X, uniform_label=None, method="knn", sample_weight=weight)
                for metric in METRICS.values()
            ]
        assert np.isfinite(values).all()


@pytest.mark.parametrize("method", ["bins", "knn"])
def test_agrees_with_hep_ml(method):
    reference = pytest.importorskip("hep_ml.metrics")
    events = make_dalitz(6000, random_state=0, as_frame=True)
    X, y, ones = events.data, events.target, np.ones(6000)
    score = X["impact_parameter"].rank(pct=True).to_numpy()
    proba = np.column_stack([1 - score, score])
    prefix = {"bins": "BinBased", "knn": "KnnBased"}[method]
    place = X[events.uniform_features]
    for name, ours in (("SDE", sde_flatness), ("Theil", theil_flatness), ("CvM", cvm_flatness)):
        theirs = getattr(reference, prefix + name)(
            uniform_features=events.uniform_features, uniform_label=1
        )
        theirs.fit(X, y, sample_weight=ones)
        options = {"uniform_label": 1, "method": method, "strategy": "uniform"}
        if method == "bins" and name != "CvM":
            # theirs cuts at the quantile q, which leaves 1 - q
            options["efficiencies"] = [0.5, 0.4, 0.3, 0.2, 0.1]
        value = ours(y, score, place, **options)
        expected = theirs(y, proba, sample_weight=ones)
        # theirs puts the event at the cut on the other side, and shares no weights in this one
        tolerance = 0.08 if (name, method) == ("CvM", "knn") else 0.02
        assert value == pytest.approx(expected, rel=tolerance), name
        # the unit of the weights means nothing, which is not so for theirs
        assert ours(y, score, place, sample_weight=ones * 1e-6, **options) == pytest.approx(value)


def test_scorer_takes_columns_of_the_table():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = pd.DataFrame({"x": rng.normal(y), "mass": rng.uniform(50, 150, 600)})
    X["leak"] = X["mass"] / 50 + rng.normal(size=600) + y
    weight = np.where(rng.random(600) < 0.1, -1.0, 1.0)
    model = LogisticRegression().fit(X[["x", "leak"]], y)
    score = model.predict_proba(X[["x", "leak"]])[:, 1]
    scorer = flatness_scorer(["leak"], uniform_label=0, n_bins=4)
    expected = sde_flatness(y, score, X["leak"], uniform_label=0, n_bins=4, sample_weight=weight)
    assert scorer(model, X[["x", "leak"]], y, weight) == -expected
    assert scorer.score_predictions(y, score, weight, X=X) == -expected
    by_position = flatness_scorer([2], uniform_label=0, n_bins=4)
    assert by_position.score_predictions(y, score, weight, X=X.to_numpy()) == -expected
    for name, metric in METRICS.items():
        scorer = flatness_scorer(["mass"], uniform_label=1, metric=name, method="knn")
        value = scorer.score_predictions(y, score, X=X)
        assert value == -metric(y, score, X["mass"], uniform_label=1, method="knn")
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            LogisticRegression().set_fit_request(sample_weight=False),
            {"C": [1e-6, 1.0]},
            scoring={"flat": flatness_scorer(["mass"], uniform_label=0, n_bins=3)},
            refit="flat",
            cv=3,
        ).fit(X, y, sample_weight=np.abs(weight))
    assert np.isfinite(search.cv_results_["mean_test_flat"]).all()


def test_scorer_of_several_classes():
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], 100)
    X = np.column_stack([rng.normal(np.repeat([0, 1, 2], 100)), rng.uniform(size=300)])
    model = LogisticRegression().fit(X, y)
    scorer = flatness_scorer([1], uniform_label="a", pos_label="b", n_bins=3)
    expected = sde_flatness(y, model.predict_proba(X)[:, 1], X[:, 1], uniform_label="a", n_bins=3)
    assert scorer(model, X, y) == -expected
    with pytest.raises(ValueError, match="predictions of several classes: pass pos_label="):
        flatness_scorer([1], uniform_label="a")(model, X, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uniform_label": 7}, r"uniform_label=7 is not among the labels \[0, 1\]"),
        ({"method": "trees"}, "method='trees': choose 'bins' or 'knn'"),
        ({"strategy": "log"}, "strategy='log': choose 'quantile' or 'uniform'"),
        ({"n_bins": 0}, "n_bins must be an integer of at least 1, got 0"),
        ({"n_bins": [3]}, r"n_bins=\[3\] has 1 entries for 2 variables"),
        ({"n_bins": [3, 2.5]}, "n_bins must be an integer of at least 1, got 2.5"),
        ({"method": "knn", "n_neighbors": 500}, "n_neighbors=500 is more than the"),
        ({"efficiencies": [0.5, 1.2]}, r"efficiencies must be shares in \(0, 1\]"),
        ({"efficiencies": []}, r"efficiencies must be shares in \(0, 1\]"),
        ({"power": 0}, "power must be above 0, got 0"),
        ({"sample_weight": np.full(240, -1.0)}, "the judged events sum to"),
        ({"sample_weight": np.ones(3)}, "sample_weight has 3 entries"),
    ],
)
def test_bad_options_are_refused(change, message):
    y, score, X, _ = make_sample(0)
    with pytest.raises(ValueError, match=message):
        sde_flatness(y, score, X, **({"uniform_label": 1} | change))


def test_bad_arrays_are_refused():
    y, score, X, _ = make_sample(0)
    frame = pd.DataFrame(X, columns=["pt", "mass"])
    frame.loc[7, "mass"] = np.nan
    with pytest.raises(ValueError, match="first in event 7, column 'mass'"):
        cvm_flatness(y, score, frame, uniform_label=1)
    masked = np.ma.masked_array(X, np.abs(X) > 60)
    with pytest.raises(ValueError, match="X_uniform is NaN or infinite in"):
        cvm_flatness(y, score, masked, uniform_label=1)
    with pytest.raises(ValueError, match="X_uniform has 10 entries, but there are 240 events"):
        cvm_flatness(y, score, X[:10], uniform_label=1)
    with pytest.raises(ValueError, match="X_uniform must hold numbers"):
        cvm_flatness(y, score, np.full((240, 1), "high"), uniform_label=1)
    with pytest.raises(ValueError, match="X_uniform must have shape"):
        cvm_flatness(y, score, np.empty((240, 0)), uniform_label=1)
    with pytest.raises(ValueError, match="but y_true has shape"):
        cvm_flatness(y[:10], score, X, uniform_label=1)
    with pytest.raises(ValueError, match="y_score is NaN in 1 events"):
        cvm_flatness(y, np.where(np.arange(240) == 3, np.nan, score), X, uniform_label=1)
    with pytest.raises(ValueError, match="pass the column of the positive class"):
        cvm_flatness(y, np.column_stack([score, score]), X, uniform_label=1)
    with pytest.raises(ValueError, match="columns must be a list of names"):
        flatness_scorer("mass", uniform_label=1)
    with pytest.raises(ValueError, match="metric='gini': choose one of"):
        flatness_scorer(["mass"], uniform_label=1, metric="gini")
    with pytest.raises(ValueError, match="pass the table as X="):
        flatness_scorer(["mass"], uniform_label=1).score_predictions(y, score)
    flat = flatness_scorer([0], uniform_label=1)
    bdt = BDTClassifier(3, early_stopping_rounds=2, eval_metric=flat)
    with pytest.raises(ValueError, match="cannot steer early stopping"):
        bdt.fit(X, y)
    with pytest.raises(ValueError, match="columns names 'mas', but the columns are"):
        flatness_scorer(["mas"], uniform_label=1).score_predictions(y, score, X=frame)
