import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skhep_ml._two_sample import fit_two_samples
from skhep_ml.inspection import shift_test


def linear(*args, **kwargs):
    return shift_test(*args, estimator=LogisticRegression(), **kwargs)


def samples(shift=0.4, n=2000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.normal([0, shift, 0], 1, size=(n // 2, 3))


def test_area_p_value_and_what_drives_them():
    reference, application = samples()
    result = linear(reference, application, feature_names=["a", "b", "c"])
    # P(x_application > x_reference) = Phi(0.4 / sqrt(2))
    assert abs(result.auc - 0.6114) < 4 * result.auc_error
    assert result.pvalue < 1e-8
    assert (result.n_reference, result.n_application) == (2000, 1000)
    assert (result.effective_reference, result.effective_application) == (2000, 1000)
    table = result.to_pandas()
    assert table.index[0] == "b"
    assert table.loc["b", "importance"] == pytest.approx(result.auc - 0.5, abs=0.02)
    assert abs(table.loc["a", "importance"]) < 0.01
    for k in range(3):
        expected = ks_2samp(reference[:, k], application[:, k], method="asymp")
        assert result.ks[k] == pytest.approx(expected.statistic)
    assert result.ks_pvalue[1] < 1e-6
    assert result.ks_pvalue[[0, 2]].min() > 0.01
    text = str(result)
    assert text.startswith("AUC 0.590 ± 0.014, p < 0.0001")
    assert "p &lt; 0.0001" in result._repr_html_()


@pytest.mark.parametrize(("n_splits", "signed"), [(2, True), (3, False)])
def test_errors_hold_without_a_difference(n_splits, signed):
    """They would be too small by sqrt(2) if folds were taken as independent."""
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(60):
        weights = [np.ones(150), np.ones(200)]
        if signed:
            weights[0] = np.where(rng.random(150) < 0.1, -1.0, 1.0) * rng.exponential(size=150)
        tables = [rng.normal(size=(len(weight), 2)) for weight in weights]
        fold = np.concatenate([np.arange(len(weight)) % n_splits for weight in weights])
        options = {"estimator": LogisticRegression(), "fold": fold, "n_splits": n_splits}
        fit, both = fit_two_samples(*tables, *weights, **options)
        area, error = fit.auc(fit.score(both), 0)
        pulls.append((area - 0.5) / error)
    assert abs(np.mean(pulls)) < 0.4
    assert 0.75 < np.std(pulls) < 1.2


def test_correlations_are_seen_by_the_classifier_alone():
    rng = np.random.default_rng(0)
    reference, application = rng.normal(size=(3000, 2)), rng.normal(size=(3000, 2))
    application[:, 1] = 0.7 * application[:, 0] + np.sqrt(0.51) * application[:, 1]
    model = make_pipeline(PolynomialFeatures(2), LogisticRegression())
    result = shift_test(reference, application, estimator=model)
    assert result.pvalue < 1e-6
    assert result.ks_pvalue.min() > 0.01
    assert result.importance.min() > 0.05


def test_weights_undo_a_difference():
    rng = np.random.default_rng(0)
    reference, application = rng.normal(size=(5000, 2)), rng.normal([0.5, 0], 1, size=(5000, 2))
    weight = 7 * np.exp(0.5 * reference[:, 0] - 0.125)
    assert linear(reference, application).pvalue < 1e-10
    weighted = linear(reference, application, reference_weight=weight)
    assert weighted.pvalue > 0.01
    assert weighted.ks_pvalue.min() > 0.01
    assert weighted.effective_reference < 4900


def test_negative_weights_cancel_events():
    rng = np.random.default_rng(0)
    reference, application = rng.normal(size=(3000, 2)), rng.normal(size=(2000, 2))
    # events of another kind, and their exact opposites
    other = rng.normal(3, 1, size=(600, 2))
    mixed = np.vstack([reference, other, other])
    weight = np.repeat([1.0, 1.0, -1.0], [3000, 600, 600])
    event = np.concatenate([np.arange(3000), np.arange(3000, 3600), np.arange(3000, 3600)])
    known = {"reference_groups": event, "application_groups": np.arange(2000)}
    result = linear(mixed, application, reference_weight=weight, **known)
    assert result.pvalue > 0.01
    assert result.ks_pvalue.min() > 0.01
    assert linear(mixed, application, reference_weight=np.abs(weight), **known).pvalue < 1e-10


def test_missing_values_are_a_difference():
    reference, application = samples(0.0, 4000)
    reference[::2, 0] = -999
    application[::8, 0] = np.nan
    application[1, 0] = np.inf
    result = shift_test(reference, application, n_jobs=1)
    assert result.pvalue < 1e-6
    assert result.missing_difference[0] == pytest.approx(251 / 2000 - 0.5)
    assert result.ks_pvalue[0] > 0.01
    assert result.to_pandas().index[0] == "x0"


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_columns_are_matched_by_name(library):
    reference, application = samples()
    frames = [library({"a": one[:, 0], "b": one[:, 1]}) for one in (reference, application)]
    result = linear(frames[0], frames[1][["b", "a"]])
    same = linear(reference[:, :2], application[:, :2])
    assert result.feature_names == ["a", "b"]
    assert result.auc == same.auc
    with pytest.raises(ValueError, match=r"\['b'\] are missing in the application"):
        linear(frames[0], frames[1][["a"]])


def test_rows_and_units_do_not_matter():
    reference, application = samples()
    order = np.random.default_rng(0).permutation(2000)
    one = linear(reference, application, n_repeats=0)
    other = linear(reference[order], application, reference_weight=np.full(2000, 3.0), n_repeats=0)
    assert one.auc == pytest.approx(other.auc, rel=1e-9)
    assert np.isnan(one.importance).all()


def test_wrong_input_is_refused():
    reference, application = samples(n=200)
    with pytest.raises(ValueError, match="different columns"):
        linear(reference, application[:, :2])
    with pytest.raises(ValueError, match="application_weight has 3 entries"):
        linear(reference, application, application_weight=np.ones(3))
    with pytest.raises(ValueError, match="reference events sum to"):
        linear(reference, application, reference_weight=-np.ones(200))
    with pytest.raises(ValueError, match="n_splits must be"):
        linear(reference, application, n_splits=1)
    with pytest.raises(ValueError, match="n_repeats must not"):
        linear(reference, application, n_repeats=-1)
    with pytest.raises(ValueError, match="must be integers"):
        linear(reference, application, reference_groups=np.arange(200.0))
    with pytest.raises(ValueError, match="X is empty"):
        linear(reference, application[:0])
