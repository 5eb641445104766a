import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from skhep_ml.linear_model import LogisticRegression
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.over_sampling import (
    CollinearSplit,
    EtaReflection,
    JetRotation,
    JetTranslation,
    PhiReflection,
    PhiRotation,
    ResampledClassifier,
    Smearing,
    SoftSmearing,
)
from skhep_ml.preprocessing import ZScoreScaler

COLUMNS = ["event", "pt", "eta", "phi", "process"]

EVENT_AUGMENTERS = [
    PhiRotation(["phi"], random_state=0),
    PhiReflection(["phi"]),
    EtaReflection(["eta"]),
    Smearing({"pt": 0.1}, random_state=0),
]
RANDOM_AUGMENTERS = [EVENT_AUGMENTERS[0], EVENT_AUGMENTERS[3]]
JET_AUGMENTERS = [
    JetRotation(random_state=0),
    JetTranslation(random_state=0),
    SoftSmearing(random_state=0),
    CollinearSplit(0.5, random_state=0),
]


def name_of(augmenter):
    return type(augmenter).__name__


def frame(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "event": rng.permutation(n) + 2**60 + 1,
            "pt": rng.exponential(50, n).astype(np.float32),
            "eta": rng.normal(size=n),
            "phi": rng.uniform(-np.pi, np.pi, n),
            "process": np.array(["ttbar", "higgs"])[rng.integers(0, 2, n)],
        }
    )


def cloud(n=50, particles=8, seed=0, dtype=np.float64):
    """Jets of 0 to `particles` - 2 particles, sorted by falling pt: pt, eta, phi, charge."""
    rng = np.random.default_rng(seed)
    jets = rng.normal(0, 0.1, (n, particles, 4))
    jets[..., 0] = -np.sort(-rng.exponential(20, (n, particles)), axis=1)
    jets[..., 3] = rng.integers(-1, 2, (n, particles))
    jets[np.arange(particles) >= rng.integers(0, particles - 1, n)[:, None]] = np.nan
    return jets.astype(dtype)


@pytest.mark.parametrize("augmenter", EVENT_AUGMENTERS, ids=name_of)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_copies_follow_the_events_in_the_type_of_the_input(augmenter, library):
    table = frame()
    X = table if library == "pandas" else pl.from_pandas(table)
    y = (table["process"] == "higgs").to_numpy()
    out, labels, event = augmenter.fit_resample(X, y, groups=table["event"].to_numpy())
    assert type(out) is type(X)
    assert list(out.columns) == COLUMNS
    assert [str(t) for t in out.dtypes] == [str(t) for t in X.dtypes]
    parents = augmenter.sample_indices_
    np.testing.assert_array_equal(parents, np.tile(np.arange(200), 2))
    np.testing.assert_array_equal(labels, y[parents])
    # identifiers beyond 2^53 exactly, in the table and beside it
    np.testing.assert_array_equal(np.asarray(out["event"]), table["event"].to_numpy()[parents])
    np.testing.assert_array_equal(event, table["event"].to_numpy()[parents])
    np.testing.assert_array_equal(np.asarray(out["process"]), np.tile(table["process"], 2))
    for column in ("pt", "eta", "phi"):
        np.testing.assert_array_equal(np.asarray(out[column])[:200], table[column].to_numpy())
    changed = [c for c in ("pt", "eta", "phi") if np.any(np.asarray(out[c])[200:] != table[c])]
    declared = {"PhiRotation": "phi", "PhiReflection": "phi", "EtaReflection": "eta"}
    assert changed == [declared.get(name_of(augmenter), "pt")]


def test_the_input_stays_as_it_was():
    table, jets = frame(), cloud()
    before, jets_before = table.copy(), jets.copy()
    EtaReflection(["eta"]).fit_resample(table, np.zeros(200))
    CollinearSplit(0.9, random_state=0).fit_resample(jets, np.zeros(50))
    pd.testing.assert_frame_equal(table, before)
    np.testing.assert_array_equal(jets, jets_before)


@pytest.mark.parametrize("n_copies", [1, 2, 5])
@pytest.mark.parametrize("keep_original", [True, False])
def test_parents_and_copies_share_the_weight(n_copies, keep_original):
    rng = np.random.default_rng(0)
    table, y = frame(), rng.integers(0, 3, 200)
    w = rng.normal(0.3, 1, 200) * 10.0 ** rng.integers(-4, 4, 200)
    augmenter = PhiRotation(["phi"], n_copies=n_copies, keep_original=keep_original)
    out, labels, weight = augmenter.fit_resample(table, y, sample_weight=w)
    n_shares = n_copies + keep_original
    assert len(out) == len(labels) == 200 * n_shares
    np.testing.assert_array_equal(weight, np.tile(w / n_shares, n_shares))
    for label in range(3):
        expected = w[y == label].sum()
        assert weight[labels == label].sum() == pytest.approx(expected, rel=1e-12)
    first_is_original = np.array_equal(out["phi"][:200], table["phi"])
    assert first_is_original == keep_original


@pytest.mark.parametrize("augmenter", JET_AUGMENTERS, ids=name_of)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clouds_keep_their_type_and_absent_particles(augmenter, dtype):
    jets = cloud(dtype=dtype)
    out, _, weight = augmenter.fit_resample(jets, np.zeros(50), sample_weight=np.full(50, -2.0))
    assert out.dtype == dtype
    assert out.shape == (100, 8, 4)
    np.testing.assert_array_equal(out[:50], jets)
    np.testing.assert_array_equal(weight, np.full(100, -1.0))
    present = ~np.isnan(jets).all(axis=2)
    copies = out[50:]
    if name_of(augmenter) == "CollinearSplit":
        assert np.all(np.isfinite(copies[present]))
    else:
        np.testing.assert_array_equal(np.isnan(copies), np.isnan(jets))
        np.testing.assert_array_equal(copies[..., [0, 3]], jets[..., [0, 3]])
    several = present.sum(axis=1) >= 4
    assert np.all(
        (copies[several] != jets[several])[present[several]].reshape(-1, 4).any(axis=0)[1]
    )


@pytest.mark.parametrize("augmenter", RANDOM_AUGMENTERS, ids=name_of)
def test_random_state_makes_copies_reproducible(augmenter):
    table, y = frame(), np.zeros(200)
    first = augmenter.fit_resample(table, y)[0]
    pd.testing.assert_frame_equal(first, augmenter.fit_resample(table, y)[0])
    augmenter = type(augmenter)(**augmenter.get_params()).set_params(random_state=1)
    other = augmenter.fit_resample(table, y)[0]
    assert not first.equals(other)


def test_several_copies_of_an_event_differ():
    table = frame()
    out, _ = PhiRotation(["phi"], n_copies=3, random_state=0).fit_resample(table, np.zeros(200))
    phi = out["phi"].to_numpy().reshape(4, 200)
    assert len(np.unique(phi.round(12))) == 800


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)))
def test_reflections_follow_the_rows(order):
    table, y = frame(12), np.arange(12)
    whole = EtaReflection(["eta"]).fit_resample(table, y)[0]
    permuted = EtaReflection(["eta"]).fit_resample(table.iloc[order], y[order])[0]
    pd.testing.assert_frame_equal(
        permuted.iloc[12:], whole.iloc[12:].iloc[order].set_index(permuted.index[12:])
    )


def test_random_copies_stay_beside_their_parent_in_any_order_of_rows():
    table, y = frame(), np.zeros(200)
    table["phi2"] = np.random.default_rng(1).uniform(-3, 3, 200)
    order = np.random.default_rng(2).permutation(200)
    out = PhiRotation(["phi", "phi2"], random_state=0).fit_resample(table.iloc[order], y)[0]
    copies = out.iloc[200:].set_index("event")
    parents = table.set_index("event").loc[copies.index]
    difference = (copies["phi2"] - copies["phi"]) - (parents["phi2"] - parents["phi"])
    np.testing.assert_allclose(np.cos(difference), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("augmenter", "column"),
    [
        (PhiRotation([0, 1], random_state=0), 0),
        (PhiRotation([], vector_columns=[(0, 1)], random_state=0), 0),
        (PhiReflection([0, 1]), 0),
        (EtaReflection([0, 1]), 0),
        (Smearing({0: 0.1, 1: 0.1}, random_state=0), 0),
        (Smearing({0: lambda v: 0.1 / np.sqrt(v), 1: 0.1}, relative=False, random_state=0), 0),
    ],
)
@pytest.mark.parametrize("missing", [np.nan, -999.0])
def test_missing_values_stay(augmenter, column, missing):
    X = np.random.default_rng(0).uniform(0.5, 1.5, (50, 3))
    X[:20, column] = missing
    out, _ = augmenter.fit_resample(X, np.zeros(50))
    np.testing.assert_array_equal(out[50:70, column], np.full(20, missing))
    assert np.all(out[70:, column] != X[20:, column])
    np.testing.assert_array_equal(out[50:, 2], X[:, 2])


def test_another_sentinel_and_a_number_that_is_none():
    X = [[-99.0, 1.0], [-999.0, 2.0]]
    out, _ = EtaReflection([0], missing_values=-99).fit_resample(X, [0, 1])
    assert out[2:] == [[-99.0, 1.0], [999.0, 2.0]]


def test_integer_columns_that_change_become_floats_and_others_stay():
    table = pd.DataFrame({"event": [2**60 + 1, 2**60 + 3], "met": [30, 50]})
    out, _ = Smearing({"met": 0.1}, random_state=0).fit_resample(table, [0, 1])
    assert out["met"].dtype == np.float64
    assert out["event"].tolist() == [2**60 + 1, 2**60 + 3] * 2


def test_columns_of_arrays_by_the_names_of_features():
    X = np.random.default_rng(0).normal(size=(20, 3))
    names = ["pt", "eta", "charge"]
    named, _ = EtaReflection(["eta"], features=names).fit_resample(X, np.zeros(20))
    placed, _ = EtaReflection([1]).fit_resample(X, np.zeros(20))
    negative, _ = EtaReflection([-2]).fit_resample(X, np.zeros(20))
    np.testing.assert_array_equal(named, placed)
    np.testing.assert_array_equal(named, negative)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_derived_columns_are_recomputed_in_frames(library):
    table = frame()[["event", "pt", "phi"]]
    table["px"] = (table["pt"] * np.cos(table["phi"])).astype(np.float32)
    table["half"] = table["event"] // 2
    seen = []

    def recompute(copies):
        seen.append(len(copies))
        px = np.asarray(copies["pt"]) * np.cos(np.asarray(copies["phi"]))
        if library == "pandas":
            return copies.assign(px=px)
        return copies.with_columns(px=px)

    X = table if library == "pandas" else pl.from_pandas(table)
    augmenter = PhiRotation(["phi"], recompute=recompute, random_state=0)
    out, _ = augmenter.fit_resample(X, np.zeros(200))
    assert seen == [200]
    assert [str(t) for t in out.dtypes] == [str(t) for t in X.dtypes]
    expected = np.asarray(out["pt"]) * np.cos(np.asarray(out["phi"]))
    np.testing.assert_allclose(np.asarray(out["px"]), expected, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(out["px"])[:200], table["px"])
    np.testing.assert_array_equal(np.asarray(out["half"]), np.tile(table["half"], 2))


def test_derived_features_are_recomputed_in_arrays_and_clouds():
    def recompute(copies):
        copies[..., 3] = copies[..., 1] ** 2
        return copies

    for X in (np.random.default_rng(0).normal(size=(20, 4)), cloud(20)):
        augmenter = Smearing({1: 0.1}, recompute=recompute, random_state=0)
        out, _ = augmenter.fit_resample(X, np.zeros(20))
        np.testing.assert_array_equal(out[20:, ..., 3], out[20:, ..., 1] ** 2)
        np.testing.assert_array_equal(out[:20], X)


def test_a_recompute_that_returns_something_else_is_refused():
    table, y = frame(), np.zeros(200)

    def refused(function, X=table, columns=("phi",)):
        PhiRotation(columns, recompute=function).fit_resample(X, y)

    with pytest.raises(ValueError, match="recompute returned 200 events with the columns"):
        refused(lambda copies: copies.drop(columns="pt"))
    with pytest.raises(ValueError, match="recompute returned 10 events"):
        refused(lambda copies: copies.head(10))
    with pytest.raises(ValueError, match=r"recompute returned an array of shape \(200, 1\)"):
        refused(lambda copies: copies[:, :1], table[["pt", "phi"]].to_numpy(), [1])
    with pytest.raises(ValueError, match="recompute='px' must be a function"):
        refused("px")


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (PhiRotation(["jet_phi"]), "phi_columns names 'jet_phi', but the columns are"),
        (PhiRotation("phi"), r"phi_columns='phi' must be a list of columns: write \['phi'\]"),
        (PhiRotation(["phi", 3]), "names a column twice"),
        (PhiRotation([]), "PhiRotation has no columns to change"),
        (PhiReflection([]), "PhiReflection has no columns to change"),
        (PhiRotation([], vector_columns=["px", "py"]), "must hold pairs of columns"),
        (PhiRotation([], vector_columns=[("pt", "py")]), "names 'py', but the columns are"),
        (PhiRotation(["phi"], vector_columns=[("pt", "phi")]), "names a column twice"),
        (PhiRotation(["process"]), "column 'process' has type"),
        (PhiRotation(["phi"], n_copies=0), "n_copies=0 must be an integer of at least 1"),
        (PhiRotation(["phi"], n_copies=1.5), "n_copies=1.5 must be an integer"),
        (PhiRotation(["phi"], missing_values="none"), "missing_values='none' must be numbers"),
        (EtaReflection([]), "EtaReflection has no columns to change"),
        (EtaReflection(["pz"]), "eta_columns names 'pz'"),
        (Smearing({}), "must map each column to smear"),
        (Smearing({"jet_pt": 0.1}), "resolution names 'jet_pt'"),
        (Smearing({"pt": -0.1}), r"resolution\['pt'\] is -0.1: a resolution must be finite"),
        (Smearing({"pt": np.nan}), r"resolution\['pt'\] is nan"),
        (Smearing({"pt": "0.1 GeV"}), "must be a number or a function"),
        (Smearing({"pt": [0.1, 0.2]}), r"has shape \(2,\)"),
        (Smearing({"pt": lambda pt: np.ones(3)}), r"has shape \(3,\), but there are \(200,\)"),
        (Smearing({"pt": lambda pt: -pt}), "a resolution must be finite and not negative"),
        (JetRotation(), "JetRotation needs clouds"),
    ],
)
def test_wrong_parameters_are_refused(augmenter, message):
    with pytest.raises(ValueError, match=message):
        augmenter.fit_resample(frame(), np.zeros(200))


def test_infinite_values_are_refused_by_name():
    table = frame()
    table.loc[7, "phi"] = np.inf
    with pytest.raises(ValueError, match="infinity in column 'phi'"):
        PhiRotation(["phi"]).fit_resample(table, np.zeros(200))
    # a column that stays does not matter
    EtaReflection(["eta"]).fit_resample(table, np.zeros(200))
    jets = cloud()
    jets[jets[:, 0, 0] > 0, 0, 2] = -np.inf
    with pytest.raises(ValueError, match="infinity in column 'phi'"):
        JetRotation().fit_resample(jets, np.zeros(50))


def test_unknown_columns_are_refused_by_fit_too():
    with pytest.raises(ValueError, match="numbered 0 to 2"):
        EtaReflection([3]).fit(np.zeros((4, 3)), [0, 1, 0, 1])


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers the events that it was trained on and asked for."""

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    log = []

    def fit(self, X, y, sample_weight=None, groups=None):
        self.classes_ = np.unique(y)
        self.log.append((X.copy(), y, sample_weight, groups))
        return self

    def predict(self, X):
        self.log.append(X.copy())
        return np.full(len(X), self.classes_[0])


def test_a_fold_never_sees_copies_of_another():
    table = frame()[["event", "pt", "eta", "phi"]]
    y = np.random.default_rng(0).integers(0, 2, 200)
    w = np.random.default_rng(1).normal(0.5, 1, 200)
    event = table["event"].to_numpy()
    model = ResampledClassifier(PhiRotation(["phi"], n_copies=2), Recorder())
    Recorder.log.clear()
    with sklearn.config_context(enable_metadata_routing=True):
        cross_validate(
            model,
            table,
            y,
            params={"sample_weight": w, "groups": event},
            cv=EventNumberKFold(4),
            error_score="raise",
        )
    assert len(Recorder.log) == 8
    for training, held_out in zip(Recorder.log[::2], Recorder.log[1::2], strict=True):
        X, labels, weight, groups = training
        n_events = len(X) // 3
        np.testing.assert_array_equal(X["event"], groups)
        assert set(groups).isdisjoint(held_out["event"])
        assert n_events + len(held_out) == 200
        # the held-out events are the original ones
        original = table.set_index("event").loc[held_out["event"]]
        np.testing.assert_array_equal(held_out["phi"], original["phi"])
        rows = pd.Series(np.arange(200), index=event).loc[groups[:n_events]].to_numpy()
        np.testing.assert_array_equal(labels, np.tile(y[rows], 3))
        np.testing.assert_array_equal(weight, np.tile(w[rows] / 3, 3))


def test_a_split_by_event_number_keeps_copies_beside_their_parents():
    table = frame()
    augmenter = PhiRotation(["phi"], n_copies=3, random_state=0)
    X, y, event = augmenter.fit_resample(table, np.zeros(200), groups=table["event"])
    for train, test in EventNumberKFold(5).split(X, y, groups=event):
        assert len(test) % 4 == 0
        assert set(augmenter.sample_indices_[train]).isdisjoint(augmenter.sample_indices_[test])


def test_augmentation_in_a_searched_pipeline_with_signed_weights():
    rng = np.random.default_rng(0)
    table = frame(400)[["pt", "eta", "phi"]]
    y = rng.integers(0, 2, 400)
    table["eta"] += y
    w = np.where(rng.random(400) < 0.2, -1.0, 1.0)
    event = np.arange(400) + 2**60
    model = make_pipeline(
        ZScoreScaler(),
        ResampledClassifier(EtaReflection([1]), LogisticRegression(negative_weights="keep")),
    )
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            model,
            {"resampledclassifier__sampler": [EtaReflection([1]), Smearing({0: 0.1})]},
            cv=EventNumberKFold(3),
            error_score="raise",
        )
        search.fit(table, y, sample_weight=w, groups=event)
    # the reflection washes out the only feature that separates
    assert search.best_params_["resampledclassifier__sampler"].__class__ is Smearing


def test_a_frame_whose_columns_are_numbers():
    X = np.random.default_rng(0).normal(size=(20, 3))
    out, _ = EtaReflection([1]).fit_resample(pd.DataFrame(X), np.zeros(20))
    assert list(out.columns) == [0, 1, 2]
    np.testing.assert_array_equal(out[1][20:], -X[:, 1])


def test_recompute_without_return_is_refused():
    augmenter = PhiReflection(["phi"], recompute=lambda events: None)
    with pytest.raises(ValueError, match=r"recompute must return the events.*NoneType"):
        augmenter.fit_resample(frame(), np.zeros(200))
    augmenter = PhiReflection([0], recompute=lambda events: None)
    with pytest.raises(ValueError, match="recompute must return the events"):
        augmenter.fit_resample(np.ones((3, 2)), np.zeros(3))
