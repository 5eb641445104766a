import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal
from sklearn.ensemble import IsolationForest
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhep_ml.anomaly import AutoencoderDetector, DensityDetector


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    return np.column_stack([x, 0.8 * x + rng.normal(0, 0.6, 1000)])


@pytest.mark.parametrize(
    "model",
    [
        GaussianMixture(random_state=0),
        BayesianGaussianMixture(random_state=0),
        KernelDensity(bandwidth=0.3),
        IsolationForest(n_estimators=20, random_state=0),
        make_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_any_density_in_one_frame(table, model):
    detector = DensityDetector(model, contamination=0.02).fit(table)
    assert np.count_nonzero(detector.predict(table) == -1) == 20
    score = detector.score_samples(table)
    np.testing.assert_array_equal(detector.decision_function(table), score - detector.offset_)
    far, near = detector.decision_function([[4.0, -4.0], [0.0, 0.0]])
    assert far < 0 < near
    assert detector.n_features_in_ == 2
    np.testing.assert_array_equal(detector.fit_predict(table), detector.predict(table))
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.score_samples(table), score)


def test_scores_are_the_log_density(table):
    detector = DensityDetector(GaussianMixture()).fit(table)
    truth = multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]]).logpdf(table)
    assert np.mean((detector.score_samples(table) - truth) ** 2) < 0.01
    assert not hasattr(detector, "feature_names_in_")
    names = DensityDetector(GaussianMixture()).fit(pd.DataFrame(table, columns=["a", "b"]))
    assert names.feature_names_in_.tolist() == ["a", "b"]


def test_weights_repeat_events(table):
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 4, len(table))
    weighted = DensityDetector(KernelDensity()).fit(table, sample_weight=counts)
    repeated = DensityDetector(KernelDensity()).fit(np.repeat(table, counts, axis=0))
    assert weighted.offset_ == pytest.approx(repeated.offset_)


def test_weight_below_the_limit_is_the_contamination(table):
    weight = np.random.default_rng(2).choice([-0.3, 1.0], len(table), p=[0.1, 0.9])
    forest = IsolationForest(n_estimators=20, random_state=0)

    class Signed(IsolationForest):
        def fit(self, X, y=None, sample_weight=None):
            return super().fit(X, sample_weight=np.abs(sample_weight))

    detector = DensityDetector(Signed(**forest.get_params()), contamination=0.05)
    outlier = detector.fit(table, sample_weight=weight).predict(table) == -1
    assert weight[outlier].sum() / weight.sum() == pytest.approx(0.05, abs=0.002)


def test_autoencoder_finds_what_leaves_the_line():
    generative = pytest.importorskip("skhep_ml.generative")
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    line = np.column_stack([x, x + rng.normal(0, 0.05, 2000)])
    training = {"max_epochs": 15, "lr": 0.01, "batch_size": 128}
    model = generative.Autoencoder(1, **training, device="cpu", random_state=0)
    detector = AutoencoderDetector(model, contamination=0.01).fit(line)
    np.testing.assert_array_equal(
        detector.score_samples(line), detector.estimator_.score_samples(line)
    )
    assert detector.predict([[0.5, 0.5], [0.7, -0.7]]).tolist() == [1, -1]
    default = AutoencoderDetector()
    assert default._default_estimator(line).n_latent == 1
    assert default._default_estimator(np.zeros((3, 10))).n_latent == 5


def test_default_density_is_a_flow(table):
    pytest.importorskip("zuko")
    assert type(DensityDetector()._default_estimator(table)).__name__ == "NormalizingFlow"


def test_bad_input(table):
    with pytest.raises(ValueError, match=r"contamination must lie in \(0, 0.5\], got 0.7"):
        DensityDetector(GaussianMixture(), contamination=0.7).fit(table)
    with pytest.raises(ValueError, match="got 'auto'"):
        DensityDetector(GaussianMixture(), contamination="auto").fit(table)
    with pytest.raises(TypeError, match="has no score_samples"):
        DensityDetector(KNeighborsClassifier()).fit(table)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        DensityDetector(GaussianMixture()).fit(table, sample_weight=np.ones(len(table)))
    with pytest.raises(ValueError, match="weights of the training events sum to -1000"):
        DensityDetector(KernelDensity()).fit(table, sample_weight=-np.ones(len(table)))
