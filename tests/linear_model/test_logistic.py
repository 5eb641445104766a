import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model

from skhep_ml.datasets import make_signed_events
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import roc_auc_score


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=500)
    return rng.normal(size=(500, 3)) + y[:, None], y, rng.lognormal(size=500)


def test_equals_scikit_learn_on_scaled_weights(events):
    X, y, w = events
    ours = LogisticRegression(C=0.1).fit(X, y, w)
    theirs = sklearn.linear_model.LogisticRegression(C=0.1).fit(X, y, w / w.mean())
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-6)
    rescaled = LogisticRegression(C=0.1).fit(X, y, 1e-5 * w)
    assert np.allclose(ours.coef_, rescaled.coef_, atol=1e-6)
    assert np.allclose(
        LogisticRegression().fit(X, y).coef_,
        sklearn.linear_model.LogisticRegression(max_iter=1000).fit(X, y).coef_,
    )


def test_balanced_classes(events):
    X, y, w = events
    skewed = np.where(y == 1, 1e-4 * w, w)
    a = LogisticRegression(class_weight="balanced").fit(X, y, skewed)
    b = LogisticRegression(class_weight="balanced").fit(X, y, w)
    assert a.class_weight == "balanced"
    assert np.allclose(a.predict_proba(X).mean(axis=0), 0.5, atol=0.1)
    assert np.allclose(a.predict_proba(X), b.predict_proba(X), atol=0.05)


def test_signed_weights():
    e = make_signed_events(20_000, negative_fraction=0.2, kind="random", random_state=0)
    truth = LogisticRegression().fit(e.data, e.target).coef_
    for policy in ("refine", "keep"):
        coef = LogisticRegression(negative_weights=policy).fit(e.data, e.target, e.weight).coef_
        assert np.abs(coef - truth).max() < 0.06
    model = LogisticRegression().fit(e.data, e.target, e.weight, groups=np.arange(40_000))
    assert roc_auc_score(e.target, model.decision_function(e.data), sample_weight=e.weight) > 0.6


def test_columns_by_name(events):
    X, y, w = events
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = LogisticRegression().fit(frame, y, w)
    p = model.predict_proba(frame)
    assert np.allclose(model.predict_proba(frame[["c", "a", "b"]]), p)
    with pytest.raises(ValueError, match=r"(?s)now missing.*- b"):
        model.predict(frame[["a", "c"]])


@pytest.mark.parametrize(
    ("fit", "match"),
    [
        ({"sample_weight": np.full(4, np.nan)}, "NaN or infinite"),
        ({"sample_weight": [1, -2, 1, 1]}, "class 0 sum to -1"),
        ({"groups": [0.5, 1, 2, 3]}, "must be integers"),
    ],
)
def test_bad_input(fit, match):
    with pytest.raises(ValueError, match=match):
        LogisticRegression().fit(np.zeros((4, 1)), [0, 0, 1, 1], **fit)


def test_one_class():
    with pytest.raises(ValueError, match="only one class"):
        LogisticRegression().fit(np.zeros((4, 1)), [1, 1, 1, 1])


def test_masked_entries_are_missing():
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 1], 20)
    masked = np.ma.masked_array(X, mask=np.zeros(X.shape, dtype=bool))
    model = LogisticRegression().fit(masked, y)
    masked[3, 1] = np.ma.masked
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(masked)
    with pytest.raises(ValueError, match="contains NaN"):
        LogisticRegression().fit(masked, y)
