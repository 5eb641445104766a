import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skhep_ml.metrics import effective_sample_size, ks_2samp_weighted, roc_auc_score
from skhep_ml.reweighting import (
    FoldingReweighter,
    GBReweighter,
    RotatingReweighter,
    reweighting_report,
)

SHIFT = np.array([0.5, 0.0])


def gaussians(n=5000, seed=0):
    rng = np.random.default_rng(seed)
    original, target = rng.normal(size=(n, 2)), rng.normal(SHIFT, 1.0, size=(n // 2, 2))
    return original, target, np.exp(original @ SHIFT - SHIFT @ SHIFT / 2)


def report(*args, **kwargs):
    return reweighting_report(*args, estimator=LogisticRegression(), **kwargs)


def test_numbers_of_the_true_weights():
    original, target, ratio = gaussians()
    weight = np.random.default_rng(1).exponential(2.0, len(original))
    after = weight * ratio
    result = report(after, original, target, weight)
    assert (result.n_original, result.n_target) == (5000, 2500)
    np.testing.assert_allclose(result.sum_weight, [weight.sum(), after.sum()])
    assert result.target_sum_weight == result.target_effective_size == 2500
    sizes = [effective_sample_size(w) for w in (weight, after)]
    np.testing.assert_allclose(result.effective_size, sizes)
    np.testing.assert_allclose(result.max_weight, [w.max() / w.mean() for w in (weight, after)])
    assert abs(result.mean_ratio - 1) < 3 * result.mean_ratio_error
    assert 0.005 < result.mean_ratio_error < 0.03
    for k in range(2):
        for w, distance, p in zip((weight, after), result.ks, result.ks_pvalue, strict=True):
            expected = ks_2samp_weighted(original[:, k], target[:, k], weight1=w)
            np.testing.assert_allclose((distance[k], p[k]), expected)
    # the best classifier cuts on the first feature: P(x_target > x_original) = Phi(0.5 / sqrt(2))
    assert abs(result.auc.before - 0.6382) < 4 * result.auc_error.before
    assert abs(result.auc.after - 0.5) < 4 * result.auc_error.after
    assert result.auc_error.after > 0.003


def test_the_area_is_that_of_events_not_trained_on():
    # nothing to learn, and many features to learn it from: in sample the area would be high
    rng = np.random.default_rng(0)
    original, target = rng.normal(size=(200, 60)), rng.normal(size=(200, 60))
    result = report(np.ones(200), original, target)
    assert abs(result.auc.before - 0.5) < 4 * result.auc_error.before
    both, label = np.concatenate([original, target]), np.repeat([0, 1], 200)
    seen = LogisticRegression().fit(both, label).decision_function(both)
    assert roc_auc_score(label, seen) > 0.7


def test_copies_of_events_share_a_fold_by_their_identifiers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 40))
    copies = np.repeat(np.arange(150), 2)
    original = X[copies] + rng.normal(0, 1e-3, size=(300, 40))
    target = rng.normal(size=(300, 40))
    kind = {"auc": True, "n_splits": 2}
    blind = report(np.ones(300), original, target, **kind)
    known = report(np.ones(300), original, target, groups=copies, **kind)
    assert known.auc.before < blind.auc.before


def test_reweighters_with_and_without_identifiers():
    original, target, _ = gaussians()
    event = np.arange(len(original))
    gb = GBReweighter(n_estimators=20, device="cpu", n_jobs=1, random_state=0)
    rotating = RotatingReweighter(gb).fit(original, target, groups=event)
    folding = FoldingReweighter(gb, verbose=False).fit(original, target)
    frames = [
        pd.DataFrame({"a": s[:, 0], "event": np.arange(len(s)), "b": s[:, 1]})
        for s in (original, target)
    ]
    riding = RotatingReweighter(gb, id_columns="event").fit(*frames)
    results = [
        report(rotating, original, target, groups=event),
        report(folding, original, target, groups=event),
        report(riding, *frames),
        report(riding.predict_weights(frames[0]), original, target),
    ]
    for result in results:
        assert result.ks.after[0] < result.ks.before[0] / 3
        assert result.auc.after < 0.52 < result.auc.before
        assert abs(result.mean_ratio - 1) < 0.05
    assert results[2].feature_names == ["a", "b"]
    np.testing.assert_array_equal(results[2].ks.after, results[3].ks.after)


def test_default_classifier_sees_what_single_features_do_not():
    rng = np.random.default_rng(0)
    original, target = rng.normal(size=(4000, 2)), rng.normal(size=(4000, 2))
    target[:, 1] = 0.8 * target[:, 0] + 0.6 * target[:, 1]
    result = reweighting_report(np.ones(4000), original, target, n_jobs=1)
    assert result.ks.before.max() < 0.05
    assert result.auc.before > 0.65
    again = reweighting_report(np.ones(4000), original, target, n_jobs=1)
    assert again.auc == result.auc


def test_rows_and_units_do_not_matter():
    original, target, ratio = gaussians()
    order = np.random.default_rng(0).permutation(len(original))
    one = report(ratio, original, target)
    other = report(7 * ratio[order], original[order], target[::-1], 7 * np.ones(len(order)))
    np.testing.assert_allclose(one.auc, other.auc, rtol=1e-6)
    np.testing.assert_allclose(one.ks, other.ks)
    np.testing.assert_allclose(one.mean_ratio_error, other.mean_ratio_error)


def test_negative_weights_have_distances_but_no_pvalues():
    original, target, ratio = gaussians()
    sign = np.where(np.arange(5000) % 10 == 0, -1.0, 1.0)
    result = reweighting_report(sign * ratio, original, target, sign, auc=False)
    assert np.isnan(result.ks_pvalue.before).all()
    assert np.isnan(result.ks_pvalue.after).all()
    assert result.ks.after[0] < 0.05 < result.ks.before[0]
    assert np.isnan(result.auc.after)
    assert "p " not in repr(result)
    area = reweighting_report(sign * ratio, original, target, sign, n_jobs=1).auc
    assert abs(area.after - 0.5) < 0.03 < area.before - 0.5


def test_missing_values_and_absent_features():
    original, target, ratio = gaussians()
    original[::3, 0] = np.nan
    target[:, 1] = np.nan
    result = reweighting_report(ratio, original, target, n_jobs=1, auc=False)
    present = ~np.isnan(original[:, 0])
    expected = ks_2samp_weighted(original[present, 0], target[:, 0], weight1=ratio[present])
    assert result.ks.after[0] == expected.statistic
    assert np.isnan(result.ks.after[1])
    assert "undefined" in repr(result)


def test_table_text_and_html():
    original, target, ratio = gaussians()
    frames = [pd.DataFrame(s, columns=["a<b", "c"]) for s in (original, target)]
    result = report(ratio, frames[0], frames[1][["c", "a<b"]])
    table = result.to_pandas()
    assert table.columns.tolist() == ["before", "after", "target"]
    assert table.loc["effective size", "after"] == result.effective_size.after
    assert table.loc["KS a<b", "before"] == result.ks.before[0]
    assert table.loc["AUC error"].notna().tolist() == [True, True, False]
    lines = str(result).splitlines()
    assert lines[0].split() == ["before", "after", "target"]
    assert any(line.startswith("classifier AUC") for line in lines)
    assert "KS distance a&lt;b" in result._repr_html_()
    assert "a<b" not in result._repr_html_()


def test_wrong_input_is_refused():
    original, target, ratio = gaussians(200)
    frame = pd.DataFrame(original, columns=["a", "b"])
    with pytest.raises(ValueError, match="weights after has 3 entries"):
        report(ratio[:3], original, target)
    with pytest.raises(ValueError, match="weights after sum to"):
        report(-ratio, original, target)
    with pytest.raises(ValueError, match="reweighter is None"):
        report(None, original, target)
    with pytest.raises(ValueError, match="StandardScaler has no predict_weights"):
        report(StandardScaler(), original, target)
    with pytest.raises(ValueError, match="different columns"):
        report(ratio, frame, frame[["a"]])
    with pytest.raises(ValueError, match="target is empty"):
        report(ratio, original, target[:0])
    with pytest.raises(ValueError, match="n_splits must be"):
        report(ratio, original, target, n_splits=1)
    with pytest.raises(ValueError, match="must be integers"):
        report(ratio, original, target, groups=np.arange(200.0))
