import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE, SMOTENC, BorderlineSMOTE
from scipy.stats import chisquare, ks_2samp

from skhep_ml.over_sampling import WeightedSMOTE
from skhep_ml.over_sampling._smote import _Metric, majority, nearest_others
from skhep_ml.weights import apply_negative_weights


def two_classes(n_major=300, n_minor=60, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [n_major, n_minor]))
    X = rng.normal(size=(len(y), n_features)) + 0.8 * y[:, None]
    return X, y, rng.exponential(size=len(y)) + 0.01


def brute_force_neighbors(points, k):
    order = []
    for i, point in enumerate(points):
        distance = np.sqrt(np.sum((points - point) ** 2, axis=1))
        distance[i] = np.inf
        order.append(np.argsort(distance, kind="stable")[:k])
    return np.array(order)


@pytest.mark.parametrize("n_features", [3, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbors_are_exact(n_features, dtype):
    points = np.random.default_rng(0).normal(size=(200, n_features)).astype(dtype)
    rows = np.array([5, 17, 199])
    expected = brute_force_neighbors(points.astype(float), 6)[rows]
    np.testing.assert_array_equal(nearest_others(points, rows, 6), expected)


@pytest.mark.parametrize("n_features", [2, 20])
def test_an_event_is_not_its_own_neighbor_among_identical_ones(n_features):
    points = np.repeat(np.arange(4.0), 10)[:, None] * np.ones(n_features)
    near = nearest_others(points, np.arange(40), 3)
    assert not (near == np.arange(40)[:, None]).any()
    np.testing.assert_array_equal(points[near][:, :, 0], points[:, [0]] * np.ones(3))


@pytest.mark.parametrize("standardize", [False, True])
def test_every_synthetic_event_lies_between_its_parent_and_one_of_its_neighbors(standardize):
    X, y, w = two_classes()
    X[:, 0] *= 1000
    sampler = WeightedSMOTE(k_neighbors=4, standardize=standardize, random_state=1)
    out_X, out_y, _ = sampler.fit_resample(X, y, sample_weight=w)
    np.testing.assert_array_equal(out_X[: len(X)], X)
    assert np.bincount(out_y).tolist() == [300, 300]
    rows = np.flatnonzero(y == 1)
    points = X[rows].copy()
    if standardize:
        mean = np.average(points, axis=0, weights=w[rows])
        points = points / np.sqrt(np.average((points - mean) ** 2, axis=0, weights=w[rows]))
    near = dict(zip(rows, rows[brute_force_neighbors(points, 4)], strict=True))
    ends = set()
    for new, parent in zip(out_X[len(X) :], sampler.sample_indices_[len(X) :], strict=True):
        steps = (new - X[parent])[0] / (X[near[parent]] - X[parent])[:, 0]
        on_line = X[parent] + steps[:, None] * (X[near[parent]] - X[parent])
        hit = np.isclose(on_line, new, rtol=1e-9, atol=1e-9).all(axis=1)
        hit &= (steps >= 0) & (steps < 1)
        assert hit.any()
        ends.add(int(np.argmax(hit)))
    assert ends == {0, 1, 2, 3}


def test_each_class_keeps_its_sum_and_synthetic_events_weigh_the_mean():
    X, y, w = two_classes()
    _, out_y, out_w = WeightedSMOTE(random_state=0).fit_resample(X, y, sample_weight=w)
    for label in (0, 1):
        assert out_w[out_y == label].sum() == pytest.approx(w[y == label].sum())
    np.testing.assert_array_equal(out_w[: len(w)][y == 0], w[y == 0])
    np.testing.assert_allclose(out_w[: len(w)][y == 1], w[y == 1] * 60 / 300)
    np.testing.assert_allclose(out_w[len(w) :], w[y == 1].sum() / 300)


def test_balance_gives_all_classes_the_same_sum():
    X, y, w = two_classes()
    y[:40] = 2
    _, out_y, out_w = WeightedSMOTE(balance=True, random_state=0).fit_resample(
        X, y, sample_weight=w
    )
    sums = np.bincount(out_y, out_w)
    np.testing.assert_allclose(sums, w.sum() / 3)


def test_parents_are_drawn_in_proportion_to_their_weight():
    X, y, w = two_classes(n_major=20_000, n_minor=30)
    sampler = WeightedSMOTE(random_state=0)
    sampler.fit_resample(X, y, sample_weight=w)
    rows = np.flatnonzero(y == 1)
    drawn = np.bincount(sampler.sample_indices_[len(y) :], minlength=len(y))[rows]
    expected = w[rows] / w[rows].sum() * drawn.sum()
    assert chisquare(drawn, expected).pvalue > 0.01
    sampler.fit_resample(X, y)
    drawn = np.bincount(sampler.sample_indices_[len(y) :], minlength=len(y))[rows]
    assert chisquare(drawn).pvalue > 0.01


def test_events_of_weight_zero_do_not_exist():
    X, y, w = two_classes()
    ghost = np.flatnonzero(y == 1)[::2]
    w[ghost] = 0
    X[ghost] = 1e3
    sampler = WeightedSMOTE(random_state=0)
    out_X, out_y, out_w = sampler.fit_resample(X, y, sample_weight=w)
    new = slice(len(y), None)
    assert not np.isin(sampler.sample_indices_[new], ghost).any()
    assert out_X[new].max() < 10
    np.testing.assert_array_equal(out_w[: len(y)][ghost], 0)
    assert out_w[out_y == 1].sum() == pytest.approx(w[y == 1].sum())


@pytest.mark.parametrize("kind", ["regular", "borderline"])
def test_units_of_weights_and_columns_do_not_matter(kind):
    X, y, w = two_classes()
    sampler = WeightedSMOTE(kind=kind, random_state=0)
    out_X, _, out_w = sampler.fit_resample(X, y, sample_weight=w)
    unit = 2.0 ** np.array([10, -20, 0, 3])
    X_unit, _, w_unit = sampler.fit_resample(X * unit, y, sample_weight=w * 2.0**-30)
    np.testing.assert_array_equal(X_unit, out_X * unit)
    np.testing.assert_array_equal(w_unit, out_w * 2.0**-30)


def test_permuted_rows_give_the_same_distribution():
    X, y, w = two_classes(n_major=8000, n_minor=200)
    order = np.random.default_rng(1).permutation(len(y))
    first = WeightedSMOTE(random_state=0).fit_resample(X, y, sample_weight=w)[0][len(y) :]
    second = WeightedSMOTE(random_state=1).fit_resample(X[order], y[order], sample_weight=w[order])
    for j in range(X.shape[1]):
        assert ks_2samp(first[:, j], second[0][len(y) :, j]).pvalue > 0.01


def test_random_state_makes_it_reproducible():
    X, y, w = two_classes()
    first = WeightedSMOTE(random_state=3).fit_resample(X, y, sample_weight=w)
    second = WeightedSMOTE(random_state=3).fit_resample(X, y, sample_weight=w)
    other = WeightedSMOTE(random_state=4).fit_resample(X, y, sample_weight=w)
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.array_equal(first[0], other[0])


def test_unweighted_events_follow_the_same_distribution_as_in_imbalanced_learn():
    X, y, _ = two_classes(n_major=8000, n_minor=150)
    peer = SMOTE(random_state=0)
    theirs = peer.fit_resample(X, y)[0][len(y) :]
    ours = WeightedSMOTE(standardize=False, random_state=0).fit_resample(X, y)[0][len(y) :]
    points = X[y == 1]
    np.testing.assert_array_equal(
        nearest_others(points, np.arange(len(points)), 5),
        peer.nn_k_.kneighbors(points, return_distance=False)[:, 1:],
    )
    for j in range(X.shape[1]):
        assert ks_2samp(ours[:, j], theirs[:, j]).pvalue > 0.01


@pytest.mark.parametrize("m_neighbors", [3, 10])
def test_events_in_danger_are_those_of_imbalanced_learn(m_neighbors):
    X, y, _ = two_classes(n_major=3000, n_minor=60)
    peer = BorderlineSMOTE(m_neighbors=m_neighbors, random_state=0)
    peer.fit_resample(X, y)
    sampler = WeightedSMOTE(
        kind="borderline", m_neighbors=m_neighbors, standardize=False, random_state=0
    )
    sampler.fit_resample(X, y)
    parents = np.unique(sampler.sample_indices_[len(y) :])
    np.testing.assert_array_equal(parents, peer.in_danger_indices[1])


def test_borderline_without_a_border_is_an_error():
    X, y, _ = two_classes()
    with pytest.raises(ValueError, match=r"no event of class 1 .* use kind='regular'"):
        WeightedSMOTE(kind="borderline").fit_resample(X + 100 * y[:, None], y)
    with pytest.raises(ValueError, match="m_neighbors=500 needs more than 500 events"):
        WeightedSMOTE(kind="borderline", m_neighbors=500).fit_resample(X, y)


def test_nominal_mismatch_counts_as_in_smote_nc():
    rng = np.random.default_rng(0)
    X, y, _ = two_classes(n_major=100, n_minor=80, n_features=3)
    X *= [1.0, 2.0, 3.0]
    table = np.column_stack([X, rng.integers(3, size=len(y)), rng.integers(4, size=len(y))])
    peer = SMOTENC([3, 4], random_state=0)
    peer.fit_resample(table, y)
    encoded = peer.nn_k_._fit_X
    rows = np.flatnonzero(y == 1)
    codes = [table[rows, j].astype(int) for j in (3, 4)]
    points = _Metric(X[rows], None, standardize=False).coordinates(X[rows], codes)
    np.testing.assert_array_equal(
        nearest_others(points, np.arange(len(rows)), 5),
        nearest_others(np.asarray(encoded.todense()), np.arange(len(rows)), 5),
    )


def test_majority_of_neighbors_or_the_parent_in_a_tie():
    codes = np.array([0, 1, 1, 2, 2, 3])
    neighbors = np.array([[0, 1, 2], [1, 2, 3], [1, 3, 5]])
    chosen = majority(codes, np.array([5, 5, 4]), neighbors)
    assert codes[chosen].tolist() == [1, 1, 2]
    four = majority(codes, np.array([5]), np.array([[1, 2, 3, 4]]))
    assert codes[four].tolist() == [3]


def frame(library, X, y):
    rng = np.random.default_rng(0)
    names = np.array(["ee", "mumu", "emu"])[rng.integers(3, size=len(y))]
    columns = {
        "pt": X[:, 0].astype(np.float32),
        "n_jets": rng.integers(9, size=len(y)).astype(np.int8),
        "channel": names,
        "charge": rng.choice([-1, 1], size=len(y)),
        "tight": rng.random(len(y)) < 0.5,
        "run": np.full(len(y), 2**53 + 1) + rng.integers(2, size=len(y)),
        "event": np.arange(len(y)) + 2**60,
        "eta": X[:, 1],
    }
    if library is pd:
        table = pd.DataFrame(columns, index=np.arange(len(y)) * 7)
        return table.astype({"channel": "category"})
    return pl.DataFrame(columns).with_columns(pl.col("channel").cast(pl.Categorical))


@pytest.mark.parametrize("library", [pd, pl])
def test_frames_keep_names_and_types(library):
    X, y, w = two_classes()
    table = frame(library, X, y)
    sampler = WeightedSMOTE(
        nominal_columns=["channel", "charge"], id_columns=("run", "event"), random_state=0
    )
    out, _, out_w, out_event = sampler.fit_resample(
        table, y, sample_weight=w, groups=table[["run", "event"]]
    )
    assert type(out) is type(table)
    assert list(out.columns) == list(table.columns)
    assert list(out.dtypes) == list(table.dtypes)
    parents = sampler.sample_indices_
    for name in ("run", "event"):
        np.testing.assert_array_equal(out[name], np.asarray(table[name])[parents])
        np.testing.assert_array_equal(out_event[name], np.asarray(table[name])[parents])
    assert set(out["charge"]) == {-1, 1}
    assert set(out["channel"]) == {"ee", "mumu", "emu"}
    new = slice(len(y), None)
    jets = np.asarray(out["n_jets"])[new]
    assert jets.min() >= 0
    assert jets.max() <= 8
    assert not np.array_equal(np.asarray(out["pt"])[new], np.asarray(table["pt"])[parents[new]])
    assert len(out) == len(out_w) == 600
    assert sampler.get_feature_names_out().tolist() == list(table.columns)


def test_columns_by_name_and_by_position_give_the_same():
    X, y, _ = two_classes()
    X[:, 2] = np.round(X[:, 2])
    by_name = WeightedSMOTE(nominal_columns=["c"], random_state=0).fit_resample(
        pd.DataFrame(X, columns=list("abcd")), y
    )[0]
    by_position = WeightedSMOTE(nominal_columns=[2], random_state=0).fit_resample(X, y)[0]
    np.testing.assert_array_equal(by_name.to_numpy(), by_position)
    assert np.isin(by_position[:, 2], X[:, 2]).all()


def test_unique_nominal_values_are_the_parents():
    X, y, _ = two_classes()
    X[:, 3] = np.arange(len(y))
    sampler = WeightedSMOTE(nominal_columns=[3], random_state=0)
    out_X, _ = sampler.fit_resample(X, y)
    np.testing.assert_array_equal(out_X[:, 3], sampler.sample_indices_)


def test_integers_are_rounded_and_float32_stays():
    X, y, w = two_classes()
    out_X, *_ = WeightedSMOTE(random_state=0).fit_resample(X.astype(np.float32), y)
    assert out_X.dtype == np.float32
    counts = np.round(10 * X).astype(np.int64)
    out_X, *_ = WeightedSMOTE(random_state=0).fit_resample(counts, y, sample_weight=w)
    exact, *_ = WeightedSMOTE(random_state=0).fit_resample(counts.astype(float), y, sample_weight=w)
    assert out_X.dtype == np.int64
    np.testing.assert_array_equal(out_X, np.rint(exact))


def test_constant_column_and_classes_that_are_large_enough():
    X, y, _ = two_classes()
    X[:, 1] = 0.1
    out_X, out_y = WeightedSMOTE(random_state=0).fit_resample(X, y)
    np.testing.assert_allclose(out_X[:, 1], 0.1)
    same_X, same_y = WeightedSMOTE(random_state=0).fit_resample(out_X, out_y)
    np.testing.assert_array_equal(same_X, out_X)
    np.testing.assert_array_equal(same_y, out_y)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4), st.floats(1e-6, 1e6), st.booleans())
def test_sums_counts_and_ranges(seed, k, scale, balance):
    X, y, w = two_classes(40, 12, 2, seed)
    w *= scale
    sampler = WeightedSMOTE(k_neighbors=k, balance=balance, random_state=seed)
    out_X, out_y, out_w = sampler.fit_resample(X, y, sample_weight=w)
    assert np.bincount(out_y).tolist() == [40, 40]
    wanted = np.full(2, w.sum() / 2) if balance else np.bincount(y, w)
    np.testing.assert_allclose(np.bincount(out_y, out_w), wanted)
    assert (out_X[out_y == 1] >= X[y == 1].min(axis=0)).all()
    assert (out_X[out_y == 1] <= X[y == 1].max(axis=0)).all()
    assert (out_w > 0).all()


def signed(w, y):
    w = w.copy()
    w[np.flatnonzero(y == 1)[:6]] *= -1
    return w


def test_negative_weights_are_refused_with_the_remedy():
    X, y, w = two_classes()
    with pytest.raises(ValueError, match=r"6 of 360.*'refine'.*apply_negative_weights"):
        WeightedSMOTE().fit_resample(X, y, sample_weight=signed(w, y))
    with pytest.raises(ValueError, match="'keep' is not possible"):
        WeightedSMOTE(negative_weights="keep").fit_resample(X, y)


def test_negative_weights_by_policy_and_by_hand_are_the_same():
    X, y, w = two_classes()
    w = signed(w, y)
    event = np.arange(len(y))
    out_X, out_y, out_w, _ = WeightedSMOTE(
        negative_weights="refine", random_state=0, n_jobs=1
    ).fit_resample(X, y, sample_weight=w, groups=event)
    refined = apply_negative_weights(X, y, w, groups=event, random_state=0, n_jobs=1)
    hand_X, _, hand_w = WeightedSMOTE(random_state=0).fit_resample(X, y, sample_weight=refined)
    np.testing.assert_array_equal(out_X, hand_X)
    np.testing.assert_array_equal(out_w, hand_w)
    assert (out_w >= 0).all()
    for label in (0, 1):
        assert out_w[out_y == label].sum() == pytest.approx(w[y == label].sum())


def test_bad_input_is_named():
    X, y, w = two_classes()
    holes = X.copy()
    holes[5:8, 2] = np.nan
    with pytest.raises(ValueError, match=r"NaN: column 2 in 3 events.*MissingValueImputer"):
        WeightedSMOTE().fit_resample(holes, y)
    names = list("abcd")
    with pytest.raises(ValueError, match="NaN: column 'c' in 3 events"):
        WeightedSMOTE().fit_resample(pd.DataFrame(holes, columns=names), y)
    holes[5, 2] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        WeightedSMOTE().fit_resample(pd.DataFrame(holes[:6], columns=names), y[:6])
    table = frame(pd, X, y)
    with pytest.raises(ValueError, match=r"column 'channel' .* declare it in nominal_columns"):
        WeightedSMOTE(id_columns=["run", "event"]).fit_resample(table, y)
    with pytest.raises(ValueError, match=r"column 'run' .* beyond 2.53.* id_columns"):
        WeightedSMOTE(nominal_columns=["channel"]).fit_resample(table, y)
    with pytest.raises(ValueError, match="nominal_columns names 'flavour'"):
        WeightedSMOTE(nominal_columns=["flavour"]).fit_resample(table, y)
    with pytest.raises(ValueError, match="id_columns names 4"):
        WeightedSMOTE(id_columns=4).fit_resample(X, y)
    gap = table.astype({"channel": object})
    gap.loc[14, "channel"] = None
    with pytest.raises(ValueError, match="NaN: column 'channel' in 1 events"):
        WeightedSMOTE(nominal_columns=["channel"], id_columns=["run", "event"]).fit_resample(gap, y)
    with pytest.raises(ValueError, match="all columns are nominal"):
        WeightedSMOTE(nominal_columns=[0, 1, 2, 3]).fit_resample(X, y)
    with pytest.raises(ValueError, match="WeightedSMOTE needs a table"):
        WeightedSMOTE().fit_resample(X[:, :, None], y)
    with pytest.raises(ValueError, match=r"class 1 sum to -.* over 60 events"):
        WeightedSMOTE(negative_weights="refine").fit_resample(
            X, y, sample_weight=np.where(y == 1, -w, w)
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [("k_neighbors", 0), ("k_neighbors", 2.5), ("m_neighbors", True), ("kind", "svm")],
)
def test_bad_parameters_are_named(name, value):
    X, y, _ = two_classes()
    with pytest.raises(ValueError, match=name):
        WeightedSMOTE(**{name: value}).fit_resample(X, y)


def test_small_class_is_an_error_with_the_remedy():
    X, y, w = two_classes(n_minor=4)
    with pytest.raises(ValueError, match=r"class 1 has 4 events .* set k_neighbors to at most 3"):
        WeightedSMOTE().fit_resample(X, y)
    w[np.flatnonzero(y == 1)[:3]] = 0
    with pytest.raises(ValueError, match=r"class 1 has 1 events .* leave the class out"):
        WeightedSMOTE().fit_resample(X, y, sample_weight=w)


def test_masked_entries_count_as_missing():
    X = np.ma.masked_equal(np.array([[1.0, -999.0], [2.0, 3.0], [4.0, 5.0], [3.0, 3.0]]), -999.0)
    with pytest.raises(ValueError, match="contains NaN: column 1 in 1 events"):
        WeightedSMOTE(k_neighbors=1).fit_resample(X, [0, 1, 0, 0])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_get_the_checks_of_arrays(frame):
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        WeightedSMOTE().fit_resample(frame({"pt": []}), [])
    for X in (frame({"pt": [1.0, 2.0], "eta": [0.0, np.inf]}), np.array([[1.0, 0], [2, np.inf]])):
        name = 1 if isinstance(X, np.ndarray) else "'eta'"
        with pytest.raises(ValueError, match=f"contains infinity.* column {name}"):
            WeightedSMOTE(k_neighbors=1).fit_resample(X, [0, 1])


def test_repeated_column_names_are_refused():
    X = pd.DataFrame(np.ones((4, 3)), columns=["pt", "eta", "pt"])
    with pytest.raises(ValueError, match=r"more than one column of the same name: \['pt'\]"):
        WeightedSMOTE(k_neighbors=1).fit_resample(X, [0, 1, 0, 0])
