import numpy as np
import pytest

from skhep_ml.metrics import (
    asimov_significance,
    best_cut,
    effective_sample_size,
    roc_auc_score,
    selected_yields,
)
from skhep_ml.report import _numbers
from skhep_ml.report._events import check_sample
from skhep_ml.report._verdict import verdict, warnings_for


def toy(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    # +-w / (1 - 2q) with q = 0.2 keeps the expectation
    sign = np.where((rng.random(n) < 0.2) & (y == 0), -1.0, 1.0)
    weight = rng.exponential(1.0, n) * np.where(y == 0, sign / 0.6, 1.0)
    X = rng.normal(y[:, None], 1.0, (n, 2))
    process = np.where(y == 1, "S", rng.choice(["B", "C"], n))
    return check_sample("", X, y, weight, np.arange(n), process)


def test_auc_difference_is_paired():
    sample = toy()
    good, bad = sample.X.sum(axis=1), sample.X[:, 0]
    others = {"same": good.copy(), "bad": bad}
    found = _numbers.auc_difference(sample.signal, good, others, sample.weight, sample.groups)
    assert found["same"] == {"value": 0.0, "std": 0.0}
    both = [roc_auc_score(sample.signal, s, sample_weight=sample.weight) for s in (good, bad)]
    assert found["bad"]["value"] == pytest.approx(both[0] - both[1])
    unpaired = roc_auc_score(sample.signal, bad, sample_weight=sample.weight, return_std=True)[1]
    assert 0 < found["bad"]["std"] < unpaired


def test_auc_difference_error_covers():
    values, errors = [], []
    for seed in range(25):
        sample = toy(500, seed)
        found = _numbers.auc_difference(
            sample.signal, sample.X.sum(axis=1), {"one": sample.X[:, 0]}, sample.weight
        )
        values.append(found["one"]["value"])
        errors.append(found["one"]["std"])
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.45)


def test_significance_chooses_here_and_quotes_there():
    first, second = toy(seed=1), toy(seed=2)
    parts = []
    for sample in (first, second):
        weight = sample.weight.copy()
        weight[sample.signal] *= 200 / weight[sample.signal].sum()
        weight[~sample.signal] *= 5000 / weight[~sample.signal].sum()
        parts.append((sample.signal, sample.X.sum(axis=1), weight))
    found = _numbers.significance(*parts)["0.1"]
    cut = best_cut(
        *parts[0][:2],
        metric="asimov",
        sample_weight=parts[0][2],
        background_uncertainty=0.1,
        min_effective_background=_numbers.MIN_EFFECTIVE_BACKGROUND,
    )
    signal, score, weight = parts[1]
    held = selected_yields(signal, score >= cut.threshold, sample_weight=weight)
    assert (found["cut"], found["validation"]) == (cut.threshold, cut.value)
    assert found["signal"] == {"value": held.s, "std": held.s_std}
    assert found["test"]["value"] == asimov_significance(held.s, held.b, 0.1 * held.b)


def test_significance_error_by_varied_yields():
    class Found:
        s, s_std, b, b_std = 50.0, 2.0, 400.0, 30.0

    rng = np.random.default_rng(0)
    s, b = rng.normal(50, 2, 20000), rng.normal(400, 30, 20000)
    spread = np.std(asimov_significance(s, b, 0.05 * b))
    assert _numbers.significance_error(Found, 0.05)["std"] == pytest.approx(spread, rel=0.03)


def test_fold_spread_by_slow_sums():
    sample = toy()
    score, fold = sample.X[:, 0], np.arange(len(sample)) % 3
    found = _numbers.fold_spread(sample.signal, score, sample.weight, fold)
    aucs = [
        roc_auc_score(
            sample.signal[fold == k], score[fold == k], sample_weight=sample.weight[fold == k]
        )
        for k in range(3)
    ]
    assert [row["auc"]["value"] for row in found["folds"]] == pytest.approx(aucs)
    assert found["mean"] == pytest.approx(np.mean(aucs))
    assert found["spread"] == pytest.approx(np.std(aucs, ddof=1))


def test_working_point_by_slow_sums():
    sample = toy(500)
    score = sample.X[:, 0]
    found = _numbers.working_point(sample, score, sample.weight, 0.7)
    assert next(iter(found["yields"])) == "S"
    for name, row in found["yields"].items():
        kept = [
            w
            for w, s, p in zip(sample.weight, score, sample.process, strict=True)
            if p == name and s >= 0.7
        ]
        assert row["after"]["value"] == pytest.approx(sum(kept))
        assert row["after"]["std"] == pytest.approx(np.sqrt(sum(w * w for w in kept)))
        assert (row["raw"], row["signal"]) == (len(kept), name == "S")
        assert row["effective"] == pytest.approx(effective_sample_size(kept))
    shares = found["confusion"]["shares"]
    passing = sum(row["after"]["value"] for row in found["yields"].values() if not row["signal"])
    assert shares[0][1] == pytest.approx(passing / sample.weight[~sample.signal].sum())


# --- words ---------------------------------------------------------------------------------------


def results():
    return {
        "models": {
            "BDT": {"auc": {"value": 0.9, "std": 0.01}},
            "linear": {"auc": {"value": 0.8, "std": 0.02}},
        },
        "auc_difference": {"models": ["BDT", "linear"], "value": 0.1, "std": 0.02},
        "significance": {
            "BDT": {
                "0": {"test": {"value": 5.0, "std": 0.5}, "effective_background": 80.0},
                "0.05": {"test": {"value": 3.0, "std": 0.3}, "effective_background": 80.0},
            }
        },
        "settings": {"working_uncertainty": 0.05, "min_effective_background": 10.0},
        "overtraining": {"ks": {"signal": {"pvalue": 0.5}, "background": {"pvalue": 0.2}}},
        "weights": {"Z": {"effective": 1000.0, "events": 5000}},
        "working_point": {
            "yields": {
                "Z": {"effective": 50.0, "after": {"value": 5.0}},
                "W": {"effective": 50.0, "after": {"value": 5.0}},
            }
        },
    }


def test_verdict_is_made_from_the_numbers():
    found = results()
    assert verdict(found) == (
        "BDT beats linear: AUC 0.900 ± 0.010 against 0.800 ± 0.020 (5.0 standard errors on the "
        "same events); expected significance of BDT 5.00 ± 0.50 for a background known exactly, "
        "3.00 ± 0.30 for one known to 5%; no sign of overtraining (KS p = 0.50 signal, 0.20 "
        "background)."
    )
    found["auc_difference"]["value"] = 0.04
    assert "cannot be told apart" in verdict(found)
    found["overtraining"]["ks"]["signal"]["pvalue"] = 0.001
    assert "scores of training events are too good" in verdict(found)
    found["overtraining"] = None
    found["significance"]["BDT"] = None
    assert verdict(found).endswith(
        "too few events for an expected significance; overtraining not checked."
    )
    del found["models"]["linear"]
    assert verdict(found).startswith("BDT: AUC 0.900 ± 0.010;")


def test_warnings_name_processes_that_count_little():
    found = results()
    assert warnings_for(found) == []
    found["weights"]["Z"]["effective"] = 25.0
    found["significance"]["BDT"]["0.05"]["effective_background"] = 3.0
    found["working_point"]["yields"]["W"]["effective"] = 4.0
    found["working_point"]["yields"]["Z"]["after"]["value"] = -1.0
    few, cut, left, gone = warnings_for(found)
    assert few.startswith("Z: ")
    assert "20%" in few
    assert "3.0 effective background" in cut
    assert "W (4.0)" in left
    assert "of Z is not positive" in gone
