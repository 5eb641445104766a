import json
from collections import defaultdict

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch

from skhep_ml.events import Events
from skhep_ml.exceptions import SystematicsWarning
from skhep_ml.inspection import evaluate_systematics
from skhep_ml.metrics import (
    asimov_significance,
    background_rejection_score,
    bootstrap,
    optimize_binning,
    roc_auc_score,
)
from skhep_ml.model_selection import RotatingClassifier

EDGES = [0.0, 0.3, 0.6, 1.0]


class FirstColumn(ClassifierMixin, BaseEstimator):
    """Score that is a column of the table: every number can be computed by hand."""

    def __init__(self):
        self.classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        table = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
        return np.column_stack([1 - table[:, 0], table[:, 0]])

    def __sklearn_is_fitted__(self):
        return True


def make_events(n=600, seed=0, *, repeated=False):
    rng = np.random.default_rng(seed)
    process = rng.choice(["H", "W", "Z"], n)
    target = (process == "H").astype(int)
    score = np.clip(rng.normal(0.4 + 0.25 * target, 0.2), 0, 1)
    event = np.column_stack([rng.integers(1, 3, n), rng.permutation(n)])
    if repeated:
        event[:, 1] //= 2
    return Bunch(
        data=np.column_stack([score, rng.normal(size=n)]),
        target=target,
        weight=rng.exponential(2.0, n) * np.where(rng.random(n) < 0.2, -1, 1),
        event_number=event,
        process=process,
    )


def varied_sample(events, seed=1):
    """Other scores and weights, another order, some events lost and some new."""
    rng = np.random.default_rng(seed)
    n = len(events.target)
    rows = rng.permutation(n)[: int(0.9 * n)]
    new = 40
    process = np.append(events.process[rows], rng.choice(["H", "W", "Z"], new))
    identifiers = np.column_stack([np.full(new, 3), np.arange(new)])
    data = np.vstack([events.data[rows], rng.uniform(size=(new, 2))])
    data[:, 0] = np.clip(data[:, 0] + rng.normal(0.02, 0.1, len(data)), 0, 1)
    return Bunch(
        data=data,
        weight=np.append(events.weight[rows], rng.exponential(2.0, new))
        * rng.uniform(0.9, 1.2, len(data)),
        event_number=np.vstack([events.event_number[rows], identifiers]),
        process=process,
    )


def slow(samples, selection):
    """Contents of cells event by event: {(process, bin): {event: sum of weights}} a sample."""
    out = []
    for one in samples:
        cells = defaultdict(lambda: defaultdict(float))
        for row in range(len(one.weight)):
            if not selection(one.data[row]):
                continue
            position = min(np.searchsorted(EDGES, one.data[row, 0], "right") - 1, 2)
            name = (one.process[row], *one.event_number[row].tolist())
            cells[one.process[row], position][name] += one.weight[row]
        out.append(cells)
    return out


@pytest.mark.parametrize("repeated", [False, True])
def test_templates_and_their_errors_are_the_slow_ones(repeated):
    events = make_events(repeated=repeated)
    up, down = varied_sample(events), varied_sample(events, 2)
    result = evaluate_systematics(
        FirstColumn(),
        events,
        {"one": (up, down)},
        bins=EDGES,
        selection=lambda X: X[:, 1] > -0.5,
        n_replicas=0,
    )
    one = result.variations["one"]
    cells = slow([events, up, down], lambda row: row[1] > -0.5)
    assert result.processes == ["H", "W", "Z"]
    assert result.signal.tolist() == [True, False, False]
    for k, process in enumerate(result.processes):
        for b in range(3):
            parts = [cell[process, b] for cell in cells]
            keys = set().union(*parts)
            for values, sumw2, part in zip(
                (result.values, one.up.values, one.down.values),
                (result.sumw2, one.up.sumw2, one.down.sumw2),
                parts,
                strict=True,
            ):
                np.testing.assert_allclose(values[k, b], sum(part.values()))
                np.testing.assert_allclose(sumw2[k, b], sum(w**2 for w in part.values()))
            shifts = np.array(
                [
                    [part.get(key, 0.0) - parts[0].get(key, 0.0) for key in keys]
                    for part in parts[1:]
                ]
            )
            np.testing.assert_allclose(one.up.shift_sumw2[k, b], (shifts[0] ** 2).sum())
            np.testing.assert_allclose(one.down.shift_sumw2[k, b], (shifts[1] ** 2).sum())
            product = np.sqrt((shifts[0] ** 2).sum() * (shifts[1] ** 2).sum())
            np.testing.assert_allclose(one.correlation[k, b], shifts[0] @ shifts[1] / product)
    # migrations between bins do not move yields
    for label, name in ((1, "signal"), (0, "background")):
        pick = [
            {
                key: w
                for (p, _), cell in part.items()
                if (p == "H") == label
                for key, w in cell.items()
            }
            for part in cells
        ]
        if not repeated:
            keys = set(pick[0]) | set(pick[1])
            shift = np.array([pick[1].get(key, 0) - pick[0].get(key, 0) for key in keys])
            np.testing.assert_allclose(one.up.changes[name], shift.sum())
            np.testing.assert_allclose(one.up.changes_std[name], np.sqrt((shift**2).sum()))


def test_errors_of_shifts_are_those_of_repeated_experiments():
    """Poisson counts of events, in brute force."""
    events = make_events(2000)
    up = varied_sample(events)
    result = evaluate_systematics(
        FirstColumn(), events, {"one": up}, bins=EDGES, n_replicas=300, random_state=1
    )
    side = result.variations["one"].up
    rng = np.random.default_rng(0)
    keys = {}
    for one in (events, up):
        for name in zip(one.process, *one.event_number.T, strict=True):
            keys.setdefault(name, len(keys))
    key = [
        np.array([keys[name] for name in zip(one.process, *one.event_number.T, strict=True)])
        for one in (events, up)
    ]
    bins = [np.digitize(one.data[:, 0], EDGES[1:-1]) for one in (events, up)]
    signal = [one.process == "H" for one in (events, up)]
    shifts, ratios, areas = [], [], []
    for _ in range(500):
        counts = rng.poisson(1.0, len(keys))
        weights = [one.weight * counts[k] for one, k in zip((events, up), key, strict=True)]
        pair = [
            [w[(b == position) & ~s].sum() for position in range(3)]
            for w, b, s in zip(weights, bins, signal, strict=True)
        ]
        shifts.append(np.subtract(pair[1], pair[0]))
        ratios.append(weights[1][~signal[1]].sum() / weights[0][~signal[0]].sum())
        areas.append(
            np.subtract(
                *(
                    roc_auc_score(s, one.data[:, 0], sample_weight=w)
                    for one, w, s in zip((up, events), weights[::-1], signal[::-1], strict=True)
                )
            )
        )
    background = side.shift_sumw2[~result.signal].sum(axis=0)
    np.testing.assert_allclose(np.sqrt(background), np.std(shifts, axis=0), rtol=0.1)
    np.testing.assert_allclose(side.relative["background"][1], np.std(ratios), rtol=0.1)
    np.testing.assert_allclose(side.relative["background"][0] + 1, np.mean(ratios), rtol=0.01)
    assert side.changes_std["AUC"] == pytest.approx(np.std(areas), rel=0.2)
    # what both samples share does not fluctuate
    assert side.changes_std["AUC"] < 0.8 * result.numbers_std["AUC"]


def test_numbers_are_those_of_the_metrics():
    events, up = make_events(), varied_sample(make_events())
    result = evaluate_systematics(
        FirstColumn(),
        events,
        {"one": up},
        bins=EDGES,
        signal_efficiency=[0.3, 0.7],
        background_uncertainty=0.1,
        n_replicas=0,
    )
    side = result.variations["one"].up
    for numbers, one in ((result.numbers, events), (side.numbers, up)):
        y = one.process == "H"
        args = {"sample_weight": one.weight}
        assert numbers["AUC"] == pytest.approx(roc_auc_score(y, one.data[:, 0], **args))
        rejection = background_rejection_score(
            y, one.data[:, 0], signal_efficiency=[0.3, 0.7], **args
        )
        found = [numbers["rejection at 30%"], numbers["rejection at 70%"]]
        np.testing.assert_allclose(found, rejection)
        assert numbers["signal"] == pytest.approx(one.weight[y].sum())
    b, s2 = (values[~result.signal].sum(axis=0) for values in (side.values, side.sumw2))
    z = asimov_significance(side.values[0], b, np.sqrt(s2 + (0.1 * b) ** 2))
    assert side.numbers["significance"] == pytest.approx(np.sqrt((z**2).sum()))
    for name, value in side.numbers.items():
        assert side.changes[name] == pytest.approx(value - result.numbers[name])
    assert np.isnan(side.changes_std["AUC"])
    assert np.isfinite(side.changes_std["signal"])


def test_errors_agree_with_the_bootstrap_of_the_metrics():
    events = make_events(1500)
    events.weight = np.abs(events.weight)
    result = evaluate_systematics(
        FirstColumn(), events, {"w": 1.01 * events.weight}, n_replicas=200
    )
    error = bootstrap(
        roc_auc_score,
        events.target,
        events.data[:, 0],
        sample_weight=events.weight,
        groups=events.event_number,
        random_state=0,
    ).std
    assert result.numbers_std["AUC"] == pytest.approx(error, rel=0.2)
    assert result.numbers_std["background"] == pytest.approx(
        np.sqrt((events.weight[events.target == 0] ** 2).sum())
    )


def test_weights_stand_in_place_of_the_nominal_ones():
    events = make_events()
    weight = events.weight * np.where(events.process == "Z", 1.2, 1.0)
    result = evaluate_systematics(FirstColumn(), events, {"Z": (weight, events.weight)}, bins=EDGES)
    one = result.variations["Z"]
    np.testing.assert_allclose(one.up.values[2], 1.2 * result.values[2])
    np.testing.assert_allclose(one.up.shift_sumw2[2], 0.04 * result.sumw2[2])
    np.testing.assert_array_equal(one.up.values[:2], result.values[:2])
    np.testing.assert_array_equal(one.down.values, result.values)
    assert one.down.changes_std["AUC"] == 0
    everything = {"all": 1.1 * events.weight}
    side = evaluate_systematics(FirstColumn(), events, everything, bins=EDGES).variations["all"].up
    np.testing.assert_allclose(side.relative["background"], [0.1, 0], atol=1e-9)
    with pytest.warns(SystematicsWarning, match=r"multiply factors with these first"):
        evaluate_systematics(FirstColumn(), events, {"f": np.full(600, 0.1)}, bins=EDGES)


def test_factors_in_place_of_weights_are_found_where_sums_agree():
    events = make_events()
    # rare signal and frequent background: factors sum to about what the weights do
    events.weight = np.where(events.target == 1, 0.002, 1.9) * np.sign(events.weight)
    factor = np.where(events.target == 1, 1.1, 0.9)
    with pytest.warns(SystematicsWarning, match=r"are near 1, unlike the nominal ones"):
        evaluate_systematics(FirstColumn(), events, {"f": factor}, bins=EDGES)
    # weights of the right scale are no factors, nor are they where the nominal ones are near 1
    evaluate_systematics(FirstColumn(), events, {"f": factor * events.weight}, bins=EDGES)
    events.weight = np.ones(600)
    evaluate_systematics(FirstColumn(), events, {"f": factor}, bins=EDGES)


def test_rounding_is_no_change():
    events = make_events()
    result = evaluate_systematics(
        FirstColumn(), events, {"all": 1.1 * events.weight}, bins=EDGES, n_replicas=10
    )
    side = result.variations["all"].up
    for name in ("AUC", "rejection at 50%"):
        assert side.changes[name] == 0
        assert side.changes_std[name] == 0
    assert "e-1" not in str(result)
    assert "0.0000000" not in str(result)


def test_an_error_in_a_function_names_its_variation():
    def broken(X):
        raise KeyError("tau_pt")

    with pytest.raises(KeyError, match="tau_pt") as caught:
        evaluate_systematics(FirstColumn(), make_events(), {"tau": (shifted, broken)}, bins=EDGES)
    assert caught.value.__notes__ == ["raised in variation 'tau' down"]


def shifted(X):
    X[:, 0] = np.minimum(X[:, 0] + 0.05, 1)
    return X


def test_function_table_and_mapping_say_the_same():
    events = make_events()
    table = shifted(events.data.copy())
    before = events.data.copy()
    own = {**events, "data": table}
    shuffled = np.random.default_rng(0).permutation(600)
    own_shuffled = {name: value[shuffled] for name, value in own.items()}
    results = [
        evaluate_systematics(FirstColumn(), events, {"x": one}, bins=EDGES, n_replicas=20)
        for one in (shifted, table, {"data": table}, own, own_shuffled)
    ]
    results.append(
        evaluate_systematics(
            FirstColumn(),
            events.data,
            {"x": table.tolist()},
            y=events.target,
            sample_weight=events.weight,
            groups=events.event_number,
            process=events.process,
            bins=EDGES,
            n_replicas=20,
        )
    )
    np.testing.assert_array_equal(events.data, before)
    for result in results:
        np.testing.assert_allclose(result.variations["x"].up.values.sum(), events.weight.sum())
        np.testing.assert_allclose(
            result.variations["x"].up.shift_sumw2, results[0].variations["x"].up.shift_sumw2
        )
        assert result.variations["x"].up.changes == pytest.approx(
            results[0].variations["x"].up.changes
        )
        assert result.variations["x"].up.changes_std == pytest.approx(
            results[0].variations["x"].up.changes_std
        )
        assert result.variations["x"].up.matching == results[0].variations["x"].up.matching


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_columns_are_matched_by_name(library):
    events = make_events()
    frame = library({"s": events.data[:, 0], "x": events.data[:, 1]})
    table = {"data": frame[["x", "s"]]}
    common = {**events, "data": frame}
    result = evaluate_systematics(FirstColumn(), common, {"same": table}, bins=EDGES)
    assert not np.any(result.variations["same"].up.values - result.values)
    assert "same changes nothing" in result.findings
    wrong = library({"s": events.data[:, 0], "y": events.data[:, 1]})
    with pytest.raises(
        ValueError, match=r"'t' up has other columns .*\['x'\] are missing.*\['y'\]"
    ):
        evaluate_systematics(FirstColumn(), common, {"t": wrong}, bins=EDGES)
    with pytest.raises(ValueError, match=r"is ndarray, the nominal table DataFrame"):
        evaluate_systematics(FirstColumn(), common, {"t": events.data}, bins=EDGES)


def test_varied_events_keep_their_fold():
    rng = np.random.default_rng(0)
    events = make_events(800)
    X = rng.normal(events.target[:, None], 1.0, size=(800, 4))
    tree = DecisionTreeClassifier(random_state=0)
    for routing in (False, True):
        with sklearn.config_context(enable_metadata_routing=routing):
            model = RotatingClassifier(tree, n_splits=3)
            model.fit(X, events.target, groups=events.event_number)
            piped = make_pipeline(StandardScaler().fit(X), model)
            common = {**events, "data": X}
            order = rng.permutation(800)
            same = {name: np.asarray(value)[order] for name, value in common.items()}
            results = [
                evaluate_systematics(one, common, {"same": same}, bins=EDGES, n_replicas=0)
                for one in (model, piped)
            ]
            score = model.predict_proba(X, groups=events.event_number)[:, 1]
    area = roc_auc_score(events.target, score, sample_weight=events.weight)
    assert results[0].numbers["AUC"] == pytest.approx(area)
    for result in results:
        np.testing.assert_array_equal(result.variations["same"].up.values, result.values)
        assert not result.variations["same"].up.shift_sumw2.any()
    # the trees know their own training events by heart
    seen = model.estimators_[0].predict_proba(X)[:, 1]
    assert roc_auc_score(events.target, seen) > roc_auc_score(events.target, score) + 0.1


def test_identifiers_may_ride_in_the_table():
    events = make_events()
    frame = pd.DataFrame(events.data, columns=["s", "x"])
    frame[["run", "event"]] = events.event_number
    model = RotatingClassifier(LogisticRegression(), n_splits=2, id_columns=["run", "event"])
    model.fit(frame, events.target)
    result = evaluate_systematics(
        model, {**events, "data": frame}, {"s": lambda X: X.assign(s=X["s"] + 0.1)}, n_replicas=0
    )
    assert result.variations["s"].up.matching.n_matched == 600
    score = model.predict_proba(frame)[:, 1]
    area = roc_auc_score(events.target, score, sample_weight=events.weight)
    assert result.numbers["AUC"] == pytest.approx(area)


def test_derived_columns_are_computed_again():
    events = make_events()
    frame = pd.DataFrame({"s": np.sqrt(events.data[:, 0]) ** 2, "root": np.sqrt(events.data[:, 0])})

    def derive(X):
        X["s"] = X["root"] ** 2
        return X

    def vary(X):
        X["root"] = np.minimum(1.1 * X["root"], 1)
        return X

    common = {**events, "data": frame}
    arguments = (FirstColumn(), common, {"root": vary})
    stale = evaluate_systematics(*arguments, bins=EDGES, n_replicas=0)
    fresh = evaluate_systematics(*arguments, bins=EDGES, n_replicas=0, derive=derive)
    assert not np.any(stale.variations["root"].up.values - stale.values)
    scores = np.minimum(1.1 * np.sqrt(events.data[:, 0]), 1) ** 2
    expected = np.histogram(scores, EDGES, weights=events.weight)[0]
    np.testing.assert_allclose(fresh.variations["root"].up.values.sum(axis=0), expected)
    np.testing.assert_allclose(fresh.values, stale.values)
    with pytest.warns(SystematicsWarning, match=r"derive changes the columns \['s'\]"):
        evaluate_systematics(*arguments, bins=EDGES, derive=lambda X: X.assign(s=X["s"] ** 2))


def test_events_migrate_across_the_selection():
    events = make_events()

    def selection(X):
        return X[:, 1] > 0

    def vary(X):
        X[:, 1] += np.where(X[:, 0] > 0.5, 0.2, -0.1)
        return X

    result = evaluate_systematics(
        FirstColumn(), events, {"x": vary}, selection=selection, bins=EDGES, n_replicas=0
    )
    before, after = events.data[:, 1] > 0, vary(events.data.copy())[:, 1] > 0
    matching = result.variations["x"].up.matching
    assert matching.n_leaving == (before & ~after).sum() > 0
    assert matching.n_entering == (after & ~before).sum() > 0
    assert (matching.n_only_nominal, matching.n_only_varied) == (0, 0)
    np.testing.assert_allclose(result.values.sum(), events.weight[before].sum())
    side = result.variations["x"].up
    np.testing.assert_allclose(side.values.sum(), events.weight[after].sum())
    moved = before != after
    np.testing.assert_allclose(side.shift_sumw2.sum(), (events.weight[moved] ** 2).sum())


def test_samples_of_their_own_and_their_partners():
    events = make_events()
    pick = np.flatnonzero(events.process == "Z")[10:]
    partial = {name: value[pick] for name, value in events.items()}
    partial["event_number"] = partial["event_number"].copy()
    partial["event_number"][:5, 0] = 9
    result = evaluate_systematics(FirstColumn(), events, {"Z": partial}, bins=EDGES, n_replicas=0)
    side = result.variations["Z"].up
    assert side.matching.n_matched == 600 - 15
    assert (side.matching.n_only_nominal, side.matching.n_only_varied) == (15, 5)
    assert side.matching.nominal_processes == ["H", "W"]
    np.testing.assert_array_equal(side.values[:2], result.values[:2])
    np.testing.assert_allclose(side.values[2].sum(), events.weight[pick].sum())
    lost = np.flatnonzero(events.process == "Z")[:10]
    independent = (events.weight[lost] ** 2).sum() + 2 * (events.weight[pick[:5]] ** 2).sum()
    np.testing.assert_allclose(side.shift_sumw2.sum(), independent)
    text = " ".join(result.findings)
    assert "15 nominal events have no partner and 5 varied ones have none" in text
    assert "holds no H, W: kept nominal" in text


def test_one_sided_and_symmetrised():
    events = make_events()
    variations = {"a": shifted, "b": events.weight * np.where(events.process == "W", 1.1, 1.0)}
    result = evaluate_systematics(
        FirstColumn(), events, variations, bins=EDGES, symmetrize="a", n_replicas=10
    )
    mirrored, one_sided = result.variations["a"], result.variations["b"]
    assert (mirrored.kind, one_sided.kind) == ("symmetrised", "one-sided")
    assert one_sided.down is None
    assert np.isnan(one_sided.correlation).all()
    np.testing.assert_allclose(mirrored.up.values + mirrored.down.values, 2 * result.values)
    assert mirrored.down.changes["AUC"] == -mirrored.up.changes["AUC"]
    assert mirrored.direction == -1
    # an event whose bin changes counts twice in its old bin and minus once in its new one
    old, new = (np.digitize(X[:, 0], EDGES[1:-1]) for X in (events.data, shifted(events.data * 1)))
    contents = np.zeros((600, 3))
    np.add.at(contents, (np.arange(600), old), 2 * events.weight)
    np.add.at(contents, (np.arange(600), new), -events.weight)
    np.testing.assert_allclose(mirrored.down.sumw2.sum(axis=0), (contents**2).sum(axis=0))
    everything = evaluate_systematics(
        FirstColumn(), events, variations, bins=EDGES, symmetrize=True, n_replicas=0
    )
    assert {one.kind for one in everything.variations.values()} == {"symmetrised"}
    with pytest.raises(ValueError, match=r"symmetrize names \['c'\], the one-sided .*\['a', 'b'\]"):
        evaluate_systematics(FirstColumn(), events, variations, symmetrize=["a", "c"])


def test_expected_yields_scale_nominal_and_varied_alike():
    events = make_events()
    weight = events.weight * np.where(events.target == 1, 1.3, 1.0)
    options = {"bins": EDGES, "n_replicas": 0, "selection": lambda X: X[:, 1] > -1}
    plain = evaluate_systematics(FirstColumn(), events, {"w": weight}, **options)
    scaled = evaluate_systematics(
        FirstColumn(), events, {"w": weight}, class_yields={0: 1000.0, 1: 10.0}, **options
    )
    unit = 10 / events.weight[events.target == 1].sum()
    assert scaled.numbers["signal"] == pytest.approx(unit * plain.numbers["signal"])
    side = scaled.variations["w"].up
    assert side.relative["signal"][0] == pytest.approx(0.3)
    assert scaled.numbers["AUC"] == pytest.approx(plain.numbers["AUC"])
    np.testing.assert_allclose(scaled.sumw2[0], unit**2 * plain.sumw2[0])


def test_default_bins_are_the_optimised_ones():
    events = make_events()
    result = evaluate_systematics(FirstColumn(), events, {"x": shifted}, bins=4, n_replicas=0)
    best = optimize_binning(
        events.target, events.data[:, 0], max_bins=4, sample_weight=events.weight
    )
    np.testing.assert_array_equal(result.edges, best.edges)
    assert result.numbers["significance"] == pytest.approx(best.significance)


def test_specification_for_pyhf_reproduces_the_templates():
    events = make_events()
    variations = {
        "shape": (shifted, events.data),
        "size": events.weight * np.where(events.process == "Z", 1.2, 1.0),
    }
    result = evaluate_systematics(FirstColumn(), events, variations, bins=EDGES, n_replicas=0)
    spec = json.loads(json.dumps(result.to_pyhf()))
    (channel,) = spec["channels"]
    assert [sample["name"] for sample in channel["samples"]] == result.processes
    for k, sample in enumerate(channel["samples"]):
        np.testing.assert_array_equal(sample["data"], result.values[k])
        found = {(one["name"], one["type"]): one["data"] for one in sample["modifiers"]}
        assert (("mu", "normfactor") in found) == bool(result.signal[k])
        np.testing.assert_allclose(found["staterror_score", "staterror"], np.sqrt(result.sumw2[k]))
        for name, one in result.variations.items():
            size = found.get((name, "normsys"), {"hi": 1.0, "lo": 1.0})
            same = {"hi_data": result.values[k], "lo_data": result.values[k]}
            shape = found.get((name, "histosys"), same)
            down = result.values if one.down is None else one.down.values
            np.testing.assert_allclose(size["hi"] * np.array(shape["hi_data"]), one.up.values[k])
            np.testing.assert_allclose(size["lo"] * np.array(shape["lo_data"]), down[k])
    assert ("size", "histosys") not in found
    assert found["size", "normsys"]["hi"] == pytest.approx(1.2)
    assert ("shape", "normsys") not in found

    workspace = result.to_pyhf(data="asimov", channel="sr", poi="signal strength")
    np.testing.assert_allclose(workspace["observations"][0]["data"], result.values.sum(axis=0))
    assert workspace["measurements"][0]["config"]["poi"] == "signal strength"
    observed = result.to_pyhf(data=[3, 2, 1])["observations"][0]["data"]
    assert observed == [3.0, 2.0, 1.0]
    with pytest.raises(ValueError, match="3 counts"):
        result.to_pyhf(data=[1, 2])
    with pytest.raises(ValueError, match="'asimov'"):
        result.to_pyhf(data="expected")
    with pytest.raises(ValueError, match="also the name of a variation"):
        result.to_pyhf(poi="size")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what pyhf itself uses
def test_pyhf_reads_the_specification():
    pyhf = pytest.importorskip("pyhf")
    events = make_events()
    result = evaluate_systematics(
        FirstColumn(), events, {"shape": (shifted, events.data)}, bins=EDGES, n_replicas=0
    )
    model = pyhf.Model(result.to_pyhf())
    parameters = np.array(model.config.suggested_init())
    np.testing.assert_allclose(model.expected_actualdata(parameters), result.values.sum(axis=0))
    parameters[model.config.par_slice("shape")] = 1.0
    varied = result.variations["shape"].up.values.sum(axis=0)
    np.testing.assert_allclose(model.expected_actualdata(parameters), varied)
    workspace = pyhf.Workspace(result.to_pyhf(data="asimov"))
    assert workspace.model().config.poi_name == "mu"


def test_table_text_and_findings():
    events = make_events()
    up, down = events.weight.copy(), events.weight.copy()
    up[events.process == "Z"] *= 1.5
    down[events.process == "Z"] *= 1.4
    result = evaluate_systematics(
        FirstColumn(), events, {"a<b": (up, down), "x": shifted}, bins=EDGES, n_replicas=10
    )
    assert any("a<b: up and down move Z alike in bins [0, 1" in one for one in result.findings)
    text = str(result)
    assert text.splitlines()[0].startswith("SystematicsResult: 2 variations, 3 processes, 3 bins")
    rows = [line.split()[0] for line in text.splitlines()[2:6]]
    assert rows == ["nominal", "a<b", "a<b", "x"]
    assert "a&lt;b up" in result._repr_html_()
    assert "a<b" not in result._repr_html_()
    table = result.to_pandas()
    assert table.index.tolist() == [("nominal", ""), ("a<b", "up"), ("a<b", "down"), ("x", "up")]
    assert table.loc[("x", "up"), "AUC change"] == result.variations["x"].up.changes["AUC"]
    assert table.loc[("nominal", ""), "AUC error"] == result.numbers_std["AUC"]


def test_clouds_mixed_inputs_and_several_classes():
    events = make_events()

    class OfParts(FirstColumn):
        def predict_proba(self, X):
            score = X["cloud"][:, 0, 0] if isinstance(X, Events) else X[:, 0, 0]
            return np.column_stack([1 - score, 0 * score, score])

    model = OfParts()
    model.classes_ = np.array(["b", "c", "s"])
    cloud = np.repeat(events.data[:, None, :], 3, axis=1)
    label = np.where(events.process == "H", "s", np.where(events.process == "Z", "b", "c"))
    common = {**events, "target": label}
    options = {"pos_label": "s", "bins": EDGES, "n_replicas": 0}
    plain = evaluate_systematics(
        model, {**common, "data": cloud}, {"x": 0.9 * cloud}, selection=None, **options
    )
    mixed = evaluate_systematics(
        model,
        {**common, "data": Events(cloud=cloud, met=events.data[:, 1])},
        {"x": Events(cloud=0.9 * cloud, met=events.data[:, 1])},
        **options,
    )
    np.testing.assert_array_equal(plain.signal, [True, False, False])
    np.testing.assert_array_equal(plain.variations["x"].up.values, mixed.variations["x"].up.values)
    expected = np.histogram(0.9 * events.data[:, 0], EDGES, weights=events.weight)[0]
    np.testing.assert_allclose(plain.variations["x"].up.values.sum(axis=0), expected)
    with pytest.raises(ValueError, match=r"events of shape \(3, 1\), the nominal table \(3, 2\)"):
        evaluate_systematics(model, {**common, "data": cloud}, {"x": cloud[..., :1]}, **options)
    with pytest.raises(ValueError, match="pass pos_label="):
        evaluate_systematics(model, {**common, "data": cloud}, {"x": cloud})


def test_without_identifiers_rows_are_events():
    events = make_events()
    common = {name: events[name] for name in ("data", "target", "weight")}
    result = evaluate_systematics(FirstColumn(), common, {"x": shifted}, bins=EDGES)
    known = evaluate_systematics(FirstColumn(), events, {"x": shifted}, bins=EDGES)
    assert result.processes == ["0", "1"]
    np.testing.assert_allclose(
        result.variations["x"].up.shift_sumw2.sum(axis=0),
        known.variations["x"].up.shift_sumw2.sum(axis=0),
    )


def bad_variations():
    events = make_events()
    own = dict(varied_sample(events))
    return [
        ({}, "must map names"),
        ({"a": events.data[:, :1]}, r"'a' up has events of shape \(1,\)"),
        ({"a": (events.data, events.data[:-1])}, "'a' down has 599 events, but there are 600"),
        ({"a": lambda X: X[X[:, 1] > 0]}, "a selection belongs into selection="),
        ({"a": lambda X: None}, "'a' up returned None"),
        ({"a": lambda X: "text"}, "gives str, a table is needed"),
        ({"a": events.weight[:-1]}, "weight of variation 'a' up has 599 entries"),
        ({"a": np.full(600, np.nan)}, "NaN or infinite"),
        ({"a": {"target": 1}}, "has neither 'data' nor 'weight'"),
        ({"a": {"data": events.data[:-1]}}, "no 'event_number'"),
        ({"a": {**own, "process": None}}, r"needs \['process'\] besides"),
        ({"a": {**own, "event_number": own["event_number"][:, 0]}}, "1 identifier columns"),
        ({"a": {**own, "process": np.full(580, "ttbar")}}, r"processes \['ttbar'\]"),
        ({"a": {**own, "event_number": own["event_number"] / 2}}, "must be integers"),
        ({"a": {**own, "weight": own["weight"][:3]}}, "weight of variation 'a' up has 3"),
        ({"a": events.data * np.nan}, "score of variation 'a' up is NaN"),
    ]


@pytest.mark.parametrize(("variations", "match"), bad_variations())
def test_wrong_variations_are_refused(variations, match):
    with pytest.raises(ValueError, match=match):
        evaluate_systematics(FirstColumn(), make_events(), variations, bins=EDGES)


@pytest.mark.parametrize(
    ("changes", "options", "match"),
    [
        ({"target": None}, {}, "classes of the nominal events are missing"),
        ({"process": np.full(600, "one")}, {}, r"process 'one' has events of the classes \[0, 1\]"),
        ({"process": np.full(3, "one")}, {}, "process has shape"),
        ({"event_number": np.arange(600.0)}, {}, "must be integers"),
        ({}, {"signal_efficiency": 1.5}, "signal_efficiency must lie"),
        ({}, {"n_replicas": 1}, "n_replicas be 0 or at least 2"),
        ({}, {"bins": [1, 0]}, "bins must be"),
        ({}, {"selection": lambda X: X[:, 0]}, "boolean mask of 600 events is needed"),
        ({}, {"selection": lambda X: X[:, 0] > 2}, "leaves no event of the nominal sample"),
        ({}, {"class_yields": {0: 1.0}}, "class_yields has"),
        ({}, {"class_yields": {0: 1.0, 1: -1.0}}, "must both be positive"),
        ({}, {"pos_label": 7}, "is not among the model's classes"),
    ],
)
def test_wrong_input_is_refused(changes, options, match):
    events = {**make_events(), **changes}
    with pytest.raises(ValueError, match=match):
        evaluate_systematics(FirstColumn(), events, {"x": shifted}, **{"bins": EDGES, **options})


def test_more_wrong_input():
    events = make_events()
    with pytest.raises(ValueError, match="mapping without 'data'"):
        evaluate_systematics(FirstColumn(), {"X": 1}, {"x": shifted})
    only_signal = {name: value[events.target == 1] for name, value in events.items()}
    with pytest.raises(ValueError, match="a background are both needed"):
        evaluate_systematics(FirstColumn(), only_signal, {"x": shifted}, bins=EDGES)
    nameless = {name: events[name] for name in ("data", "target", "weight", "process")}
    with pytest.raises(ValueError, match=r"no identifiers: pass groups="):
        evaluate_systematics(FirstColumn(), nameless, {"x": events}, bins=EDGES)
    negative = {**events, "weight": np.where(events.data[:, 0] > 0.6, -1.0, 1.0)}
    result = evaluate_systematics(FirstColumn(), negative, {"x": shifted}, bins=EDGES)
    assert any("is negative in bins [2]" in one for one in result.findings)
    with pytest.raises(ValueError, match=r"bins \[2\] expect"):
        result.to_pyhf()
