import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from skhep_ml.events import Events
from skhep_ml.exceptions import DivergenceWarning
from skhep_ml.generative import NormalizingFlow

pd = pytest.importorskip("pandas")
pytest.importorskip("zuko")

SMALL = {"n_transforms": 1, "hidden": (16,), "max_epochs": 3, "device": "cpu", "random_state": 0}
KINDS = [{"kind": "nsf"}, {"kind": "maf"}, {"kind": "realnvp"}, {"coupling": True}]


def make_frame(n=400, seed=0):
    rng = np.random.default_rng(seed)
    mass = rng.uniform(1, 3, n)
    return pd.DataFrame(
        {
            "mass": mass,
            "x": rng.normal(mass, 0.5).astype(np.float32),
            "energy": rng.exponential(2.0, n) + 1e-3,
            "phi": rng.uniform(-np.pi, np.pi, n),
            "n": rng.poisson(3, n),
        }
    )


DOMAINS = {"energy": "positive", "phi": "periodic", "n": "integer"}


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture(scope="module")
def flow(frame):
    return NormalizingFlow(context_features=["mass"], domains=DOMAINS, **SMALL).fit(frame)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_density_integrates_to_one(options):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.gamma(3.0, 1.0, 300), rng.beta(2, 2, 300), rng.normal(0, 1, 300)])
    model = NormalizingFlow(
        domains={0: "positive", 1: (0, 1)}, context_features=[2], **options, **SMALL
    ).fit(X)
    # by substitution e = exp(s), where the integrand has no edge
    s, u = np.linspace(-7, 5, 120), (np.arange(80) + 0.5) / 80
    grid = np.stack(np.meshgrid(np.exp(s), u, indexing="ij"), axis=-1).reshape(-1, 2)
    for context in (-1.0, 1.5):
        table = np.column_stack([grid, np.full(len(grid), context)])
        values = np.exp(model.score_samples(table)) * grid[:, 0]
        assert values.sum() * (s[1] - s[0]) / 80 == pytest.approx(1, abs=0.01)


def test_angles_and_counts_integrate_to_one():
    frame = make_frame()[["phi", "n"]]
    model = NormalizingFlow(domains={"phi": "periodic", "n": "integer"}, **SMALL).fit(frame)
    phi = (np.arange(100) + 0.5) / 100 * 2 * np.pi
    table = np.stack(np.meshgrid(phi, np.arange(30.0), indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(model.score_samples(pd.DataFrame(table, columns=["phi", "n"])))
    assert density.sum() * 2 * np.pi / 100 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("options", [KINDS[0], KINDS[2]], ids=str)
def test_a_correlated_gaussian_is_learnt(options):
    rng = np.random.default_rng(3)
    n_transforms = 1 if options.get("kind") == "nsf" else 3
    covariance = np.array([[4.0, 1.5, 0], [1.5, 1.0, 0.2], [0, 0.2, 0.25]])
    mean = np.array([10.0, -3.0, 0.5])
    X = rng.multivariate_normal(mean, covariance, 2000)
    model = NormalizingFlow(
        n_transforms=n_transforms,
        hidden=(16,),
        max_epochs=6,
        batch_size=100,
        lr=1e-2,
        device="cpu",
        random_state=0,
        **options,
    ).fit(X)
    test = rng.multivariate_normal(mean, covariance, 2000)
    pull = np.linalg.solve(np.linalg.cholesky(covariance), (test - mean).T)
    truth = -0.5 * (pull**2).sum(axis=0) - 0.5 * np.log(np.linalg.det(2 * np.pi * covariance))
    assert model.score(test) == pytest.approx(truth.mean(), abs=0.06)
    sample = model.sample(4000, random_state=0)
    np.testing.assert_allclose(sample.mean(axis=0), mean, atol=0.15)
    np.testing.assert_allclose(np.corrcoef(sample.T), np.corrcoef(X.T), atol=0.08)


def test_samples_have_the_form_of_the_input(flow, frame):
    sample = flow.sample(200, context=2.0, random_state=1)
    assert list(sample.columns) == list(frame.columns)
    assert (sample.dtypes == frame.dtypes).all()
    assert (sample["mass"] == 2.0).all()
    assert (sample["energy"] > 0).all()
    assert (sample["n"] >= 0).all()
    assert sample["phi"].between(-np.pi, np.pi).all()
    assert np.isfinite(flow.score_samples(sample)).all()
    rows = flow.sample(context=frame, random_state=1)
    np.testing.assert_array_equal(rows["mass"], frame["mass"])


@pytest.mark.parametrize("context", [[2.0], [[2.0]] * 3, {"mass": [2.0, 2.0, 2.0]}], ids=str)
def test_contexts_of_one_meaning_give_the_same_events(flow, context):
    given = pd.DataFrame(context) if isinstance(context, dict) else context
    expected = flow.sample(3, context=2.0, random_state=7)
    pd.testing.assert_frame_equal(flow.sample(3, context=given, random_state=7), expected)


def test_the_context_moves_the_events():
    rng = np.random.default_rng(0)
    c = rng.uniform(-1, 1, 2000)
    X = np.column_stack([rng.normal(3 * c, 0.3), c])
    model = NormalizingFlow("maf", context_features=[1], lr=0.01, **{**SMALL, "max_epochs": 20})
    model.set_params(batch_size=100).fit(X)
    for value in (-0.8, 0.0, 0.8):
        sample = model.sample(2000, context=value, random_state=0)[:, 0]
        assert sample.mean() == pytest.approx(3 * value, abs=0.15)
        assert sample.std() == pytest.approx(0.3, abs=0.1)


def test_polars_and_events_come_back_as_they_were():
    polars = pytest.importorskip("polars")
    frame = make_frame(60)
    sample = NormalizingFlow(domains=DOMAINS, **SMALL).fit(polars.from_pandas(frame)).sample(5)
    assert isinstance(sample, polars.DataFrame)
    assert sample.columns == list(frame.columns)
    assert sample.schema["n"] == polars.Int64
    assert sample.schema["x"] == polars.Float32
    energy = frame["energy"].to_numpy()
    events = Events(energy=energy, tracks=frame[["x", "phi"]].to_numpy(np.float32))
    model = NormalizingFlow(
        context_features="energy", domains={"energy": "positive", 1: "periodic"}, **SMALL
    ).fit(events)
    sample = model.sample(context=events[:4], random_state=0)
    assert isinstance(sample, Events)
    assert sample.names == ["energy", "tracks"]
    assert sample["tracks"].shape == (4, 2)
    assert sample["tracks"].dtype == np.float32
    np.testing.assert_array_equal(sample["energy"], energy[:4])
    assert model.score_samples(sample).shape == (4,)


def test_float32_and_whole_numbers_keep_their_type():
    X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    assert NormalizingFlow(**SMALL).fit(X).sample(3).dtype == np.float32
    assert NormalizingFlow(**SMALL).fit(X.astype(np.float64)).sample(3).dtype == np.float64


def test_small_integers_do_not_turn_over():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "n": rng.poisson(100, 200).astype(np.uint8),
            "tag": rng.random(200) < 0.5,
            "x": rng.random(200),
        }
    )
    model = NormalizingFlow(context_features=["n", "tag"], **{**SMALL, "max_epochs": 1}).fit(frame)
    sample = model.sample(2, context=[200, 1], random_state=0)
    assert list(sample.dtypes) == [np.uint8, bool, np.float64]
    for n in (300.0, -1.0, 1e30, 0.5):
        assert (model.sample(2, context=[n, 1], random_state=0)["n"] == n).all()


def test_samples_are_reproducible_and_blocks_are_independent_of_their_number():
    X = np.random.default_rng(0).normal(size=(100, 1))
    model = NormalizingFlow("realnvp", **SMALL).fit(X)
    many = model.sample(16384 + 50, random_state=3)
    np.testing.assert_array_equal(many, model.sample(16384 + 50, random_state=3))
    np.testing.assert_array_equal(many[:16384], model.sample(16384, random_state=3))
    assert len(np.unique(many)) > 0.99 * len(many)
    assert (model.sample(5) != model.sample(5)).all()
    assert model.sample().shape == (1, 1)
    again = NormalizingFlow("realnvp", **SMALL).fit(X)
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))


def test_outside_the_domain_the_density_vanishes(flow, frame):
    other = frame.head(3).copy()
    other["n"] = [1.5, 2, -1]
    other["energy"] = [1.0, 0.0, 1.0]
    assert np.isneginf(flow.score_samples(other)).all()


def test_columns_are_found_by_name(flow, frame):
    shuffled = frame[list(frame.columns[::-1])]
    np.testing.assert_array_equal(flow.score_samples(shuffled), flow.score_samples(frame))


def test_pickle_clone_and_attributes(flow, frame):
    again = pickle.loads(pickle.dumps(flow))
    np.testing.assert_array_equal(again.score_samples(frame), flow.score_samples(frame))
    assert not hasattr(clone(flow), "net_")
    assert flow.context_indices_.tolist() == [0]
    assert flow.generated_indices_.tolist() == [1, 2, 3, 4]
    assert flow.feature_names_in_.tolist() == list(frame.columns)
    assert len(flow.history_) == SMALL["max_epochs"]


def test_signed_weights_give_the_signed_distribution():
    rng = np.random.default_rng(5)
    X = np.concatenate([rng.normal(0, 1, 4000), rng.normal(2, 1, 1000)])[:, None]
    weight = np.repeat([1.0, -0.1], [4000, 1000])
    model = NormalizingFlow(
        "maf",
        n_transforms=2,
        hidden=(16,),
        max_epochs=8,
        batch_size=100,
        lr=0.01,
        device="cpu",
        random_state=0,
    ).fit(X, sample_weight=weight)
    # without the signs it would be 0.4
    assert model.sample(8000, random_state=0).mean() == pytest.approx(
        np.average(X[:, 0], weights=weight), abs=0.12
    )
    unit = clone(model).set_params(max_epochs=1).fit(X, sample_weight=1e6 * weight)
    other = clone(model).set_params(max_epochs=1).fit(X, sample_weight=weight)
    np.testing.assert_allclose(unit.score_samples(X), other.score_samples(X), rtol=1e-3, atol=1e-3)


def test_scores_are_weighted_with_signs(flow, frame):
    weight = np.where(np.arange(len(frame)) % 3, 1.0, -0.5)
    density = flow.score_samples(frame)
    assert flow.score(frame, sample_weight=weight) == pytest.approx(
        (weight * density).sum() / weight.sum()
    )


def test_impossible_events_are_never_made_up_for(flow, frame):
    few = frame.head(4).copy()
    few.loc[0, "energy"] = -1.0
    assert flow.score(few) == flow.score(few, sample_weight=[-1, 2, 1, 1]) == -np.inf
    without = flow.score(few, sample_weight=[0, 2, 1, 1])
    assert without == pytest.approx(flow.score(few[1:], sample_weight=[2, 1, 1]))
    with pytest.raises(
        ValueError, match="sample_weight has the sum 0: a mean needs a positive sum"
    ):
        flow.score(few, sample_weight=[1, -1, 1, -1])


def test_contexts_by_name_need_no_order():
    frame = make_frame(100)[["mass", "x", "phi"]]
    model = NormalizingFlow(context_features=["mass", "phi"], **SMALL).fit(frame)
    expected = model.sample(2, context=[2.0, 0.5], random_state=0)
    for context in (
        {"phi": 0.5, "mass": 2.0},
        {"phi": [0.5, 0.5], "mass": 2.0},
        pd.Series({"phi": 0.5, "mass": 2.0}),
        pd.Series({"phi": 0.5, "x": 7.0, "mass": 2.0}),
    ):
        pd.testing.assert_frame_equal(model.sample(2, context=context, random_state=0), expected)
    for context, message in (
        ({"phi": 0.5}, r"context lacks \['mass'\]"),
        (pd.Series({"phi": 0.5}), r"context lacks \['mass'\]"),
        ({"phi": [0.5, 0.1], "mass": [1, 2, 3]}, r"lengths \[2, 3\]"),
        ("heavy", "context holds more than numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(context=context)


def test_searches_select_by_density():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) ** 3
    search = GridSearchCV(
        NormalizingFlow(**{**SMALL, "max_epochs": 5}), {"lr": [1e-6, 1e-2]}, cv=KFold(2)
    )
    assert search.fit(X).best_params_ == {"lr": 1e-2}


def test_early_stopping_holds_events_out_by_identifier(frame):
    model = NormalizingFlow(early_stopping=True, **SMALL).fit(frame, groups=np.arange(len(frame)))
    assert "valid_loss" in model.history_[-1]
    assert model.net_.best_epoch_ >= 1


def test_training_that_diverges_stops_with_finite_weights():
    X = np.random.default_rng(0).normal(size=(200, 2))
    model = NormalizingFlow("maf", **{**SMALL, "lr": 1e18, "max_grad_norm": None})
    with pytest.warns(DivergenceWarning, match="stopped with the last weights"):
        model.fit(X)
    assert np.isfinite(model.sample(10, random_state=0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "glow"}, "kind='glow' must be one of"),
        ({"n_transforms": 0}, "n_transforms must be an integer of at least 1, got 0"),
        ({"n_bins": 1}, "n_bins must be an integer of at least 2"),
        ({"hidden": ()}, r"hidden=\(\) needs at least one layer"),
        ({"lr": -1.0}, "lr must be a positive number, got -1.0"),
        ({"negative_weights": "no"}, "negative_weights must be"),
        ({"context_features": ["pt"]}, r"context_features names 'pt', but the columns are"),
        ({"context_features": ["x", "x"]}, "names a column twice"),
        ({"context_features": ["mass", "x", "energy", "phi", "n"]}, "none is left to generate"),
        ({"domains": ["positive"]}, "domains must be a dict"),
        ({"domains": {"pt": "positive"}}, "domains names 'pt', but the columns are"),
        ({"domains": {"x": None}}, "None of column 'x' is no domain"),
        ({"domains": {"x": (None, None), 1: (-9, None)}}, "names a column twice"),
        ({"domains": {"n": ("integer", 0.5, 9)}}, "are not whole numbers"),
        ({"domains": {"x": "positive"}}, r"column 'x' is -?[\d.]+ in row \d+"),
        ({"device": "tpu"}, "device must be"),
    ],
)
def test_bad_parameters_are_refused_before_training(options, message):
    frame = make_frame(400)
    with pytest.raises(ValueError, match=message):
        NormalizingFlow(**{**SMALL, **options}).fit(frame)


def test_bad_events_are_refused(flow, frame):
    with pytest.raises(ValueError, match=r"column 'x' is 1 in every row.*drop the column"):
        NormalizingFlow(**SMALL).fit(frame.assign(x=1.0))
    constant = NormalizingFlow(context_features="x", **SMALL).fit(frame.head(50).assign(x=1.0))
    assert (constant.sample(3, context=1.0)["x"] == 1).all()
    with pytest.raises(ValueError, match=r"the weights sum to -400 \(400 of 400 are negative\)"):
        NormalizingFlow(**SMALL).fit(frame, sample_weight=-np.ones(400))
    with pytest.raises(ValueError, match=r"column 'energy' reaches .*whose square is infinite"):
        NormalizingFlow(**SMALL).fit(frame.assign(energy=1e200 * frame["energy"]))
    with pytest.raises(ValueError, match="399 entries"):
        NormalizingFlow(**SMALL).fit(frame, sample_weight=np.ones(399))
    with pytest.raises(ValueError, match="NaN"):
        NormalizingFlow(**SMALL).fit(frame.assign(x=np.nan))
    with pytest.raises(ValueError, match="X is a cloud, but NormalizingFlow generates tables"):
        NormalizingFlow(**SMALL).fit(np.random.default_rng(0).normal(size=(20, 3, 2)))
    with pytest.raises(ValueError, match="feature names"):
        flow.score_samples(frame.drop(columns="x"))


@pytest.mark.parametrize(
    ("n", "context", "message"),
    [
        (3, None, r"fitted with context_features=\['mass'\]: pass context="),
        (3, [[1.0], [2.0]], "context has 2 rows, but n=3"),
        (3, [[1.0, 2.0]], r"context has shape \(1, 2\): 1 numbers"),
        (3, np.nan, "context is NaN or infinite in row 0"),
        (0, 1.0, "n must be a positive integer, got 0"),
        (2.5, 1.0, "n must be a positive integer"),
        ([3], 1.0, "n must be a positive integer"),
        (np.nan, 1.0, "n must be a positive integer"),
        (None, pd.DataFrame({"pt": [1.0]}), r"context lacks the columns \['mass'\]"),
    ],
)
def test_bad_requests_for_samples_are_refused(flow, n, context, message):
    with pytest.raises(ValueError, match=message):
        flow.sample(n, context=context)


def test_context_without_context_features_is_refused():
    model = NormalizingFlow(**SMALL).fit(np.random.default_rng(0).normal(size=(30, 2)))
    with pytest.raises(ValueError, match="fitted without context_features"):
        model.sample(3, context=1.0)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("met", "names 'met', which is not among the arrays"),
        (None, r"leaves the arrays \['jets', 'mass'\] to generate"),
    ],
)
def test_events_need_exactly_one_generated_array(context, message):
    events = {"jets": np.random.default_rng(0).normal(size=(20, 2)), "mass": np.arange(20.0)}
    with pytest.raises(ValueError, match=message):
        NormalizingFlow(context_features=context, **SMALL).fit(events)


def test_without_zuko_one_sentence_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zuko", None)
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install \"skhep-ml\[generative\]\""):
        NormalizingFlow(**SMALL).fit(np.random.default_rng(0).normal(size=(30, 2)))
