import numpy as np
import pytest

from skhep_ml.metrics import (
    ams_curve,
    ams_score,
    asimov_significance,
    best_cut,
    effective_sample_size,
    punzi_fom,
    selected_yields,
)


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [3000, 1000])
    score = rng.normal(1.5 * y).round(1)
    weight = rng.exponential(size=4000) * np.where(rng.random(4000) < 0.2 * (1 - y), -1, 1)
    return y, score, weight


YIELDS = {0: 2000.0, 1: 60.0}


def test_curve_equals_the_score_at_each_threshold(events):
    y, score, weight = events
    curve = ams_curve(y, score, sample_weight=weight, class_yields=YIELDS)
    np.testing.assert_array_equal(curve.thresholds, np.unique(score)[::-1])
    for k, threshold in enumerate(curve.thresholds):
        selected = score >= threshold
        options = {"sample_weight": weight, "class_yields": YIELDS}
        expected = ams_score(y, selected, **options)
        np.testing.assert_allclose(curve.ams[k], expected, rtol=1e-9)
        yields = selected_yields(y, selected, **options)
        found = (curve.s[k], curve.b[k], curve.s_std[k], curve.b_std[k])
        np.testing.assert_allclose(found, yields[:4], rtol=1e-9)
    assert (curve.s[-1], curve.b[-1]) == pytest.approx((60.0, 2000.0))


@pytest.mark.parametrize("metric", ["ams", "asimov", "punzi", "callable"])
def test_best_cut_is_the_best_of_all_thresholds(events, metric):
    y, score, weight = events

    def value(s, b):
        if metric == "ams":
            return asimov_significance(s, np.where(b < 0, np.nan, b + 10))
        if metric == "asimov":
            return asimov_significance(s, b, 0.1 * abs(b))
        return punzi_fom(s / 60.0, b) if metric == "punzi" else s - 0.1 * b

    uncertainty = 0.1 if metric == "asimov" else 0.0
    cut = best_cut(
        y,
        score,
        metric=value if metric == "callable" else metric,
        sample_weight=weight,
        class_yields=YIELDS,
        background_uncertainty=uncertainty,
    )
    found = []
    for threshold in np.unique(score):
        yields = selected_yields(y, score >= threshold, sample_weight=weight, class_yields=YIELDS)
        if yields.n_background >= 10 and yields.effective_background >= 10 and yields.b >= 0:
            found.append((float(value(yields.s, yields.b)), threshold, yields))
    best = max(found, key=lambda item: item[0])
    assert cut.value == pytest.approx(best[0])
    assert cut.threshold == best[1]
    np.testing.assert_allclose(cut[2:], best[2], rtol=1e-9)


def test_floors_hold_the_cut_back(events):
    y, score, weight = events
    loose = best_cut(y, score, sample_weight=weight, b_reg=0.0)
    strict = best_cut(y, score, sample_weight=weight, b_reg=0.0, min_background_events=400)
    effective = best_cut(y, score, sample_weight=weight, b_reg=0.0, min_effective_background=150.0)
    assert loose.n_background < 400 <= strict.n_background
    assert effective.effective_background >= 150.0
    background = (y == 0) & (score >= effective.threshold)
    assert effective.effective_background == pytest.approx(
        effective_sample_size(weight[background])
    )


def test_best_cut_knows_no_order_and_no_unit(events):
    y, score, weight = events
    order = np.random.default_rng(1).permutation(len(y))
    first = best_cut(y, score, sample_weight=weight, class_yields=YIELDS)
    second = best_cut(
        y[order], score[order], sample_weight=1e-3 * weight[order], class_yields=YIELDS
    )
    np.testing.assert_allclose(first, second, rtol=1e-9)


def test_uncertainty_tightens_the_cut(events):
    y, score, weight = events
    cuts = [
        best_cut(
            y,
            score,
            metric="asimov",
            sample_weight=weight,
            class_yields=YIELDS,
            background_uncertainty=relative,
        )
        for relative in (0.0, 0.05, 0.1)
    ]
    assert cuts[0].value > cuts[1].value > cuts[2].value
    assert cuts[0].threshold <= cuts[1].threshold <= cuts[2].threshold


def test_string_labels(events):
    y, score, weight = events
    named = np.where(y, "signal", "background")
    cut = best_cut(
        named,
        score,
        sample_weight=weight,
        pos_label="signal",
        class_yields={"signal": 60.0, "background": 2000.0},
    )
    assert cut == best_cut(y, score, sample_weight=weight, class_yields=YIELDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_background_events": 5000}, "all 3000 background events"),
        ({"min_effective_background": 1e5}, "no threshold leaves"),
        ({"metric": "sic"}, "metric='sic'"),
        ({"background_uncertainty": 0.1}, "only metric='asimov'"),
        ({"metric": "asimov", "background_uncertainty": -0.1}, "negative"),
        ({"b_reg": np.nan}, "b_reg"),
        ({"class_yields": {1: 3.0}}, "lacks label 0"),
    ],
)
def test_bad_input(events, options, message):
    with pytest.raises(ValueError, match=message):
        best_cut(events[0], events[1], **options)
