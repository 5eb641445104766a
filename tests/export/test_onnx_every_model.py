"""Every public estimator is exported and gives the same answers, or is refused with the reason."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from skhep_ml.events import Events
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.preprocessing import EventsTransformer

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")


def table_of(file, name="INSTANCES"):
    """Estimators that other tests list."""
    path = Path(__file__).parents[1] / file
    module_name = f"exported_{path.stem}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        sys.modules[module_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module_name])
    return getattr(sys.modules[module_name], name)


# What has no graph: estimators by name, or all of a subpackage; with what the error says.
REFUSED = {
    "DropMissingRows": "samplers change training alone",
    "JaggedToPadded": "a graph takes padded clouds",
    "anomaly": "searches without labels",
    "generative": "draw events or give densities",
    "reweighting": "reweighters predict weights",
    "over_sampling": "samplers change training alone",
}
RESAMPLED = ("ResampledClassifier", "ResampledRegressor")

TABLES = table_of("test_common.py")
OTHERS = [
    *table_of("test_common.py", "NOT_TABLES"),
    *table_of("over_sampling/test_common_samplers.py"),
    *table_of("over_sampling/test_common_samplers.py", "CLOUD_INSTANCES"),
    *table_of("reweighting/test_reweighters_common.py"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3)).astype(np.float32)
Y = (X[:, 0] + 0.3 * RNG.normal(size=80) > 0).astype(int)
CLOUDS = np.abs(RNG.normal(size=(40, 6, 4))).astype(np.float32)
CLOUDS[5:20, 3:] = np.nan
CLOUDS[3] = np.nan


def refusal(estimator):
    cls = type(estimator)
    if cls.__name__ in RESAMPLED:
        return None
    return REFUSED.get(cls.__name__, REFUSED.get(cls.__module__.split(".")[1]))


def assert_same_or_refused(instance, data, *target):
    reason = refusal(instance)
    if reason is not None:
        with pytest.raises(ValueError, match=f"{type(instance).__name__} cannot .* {reason}"):
            to_onnx(instance)
        return
    model = clone(instance).fit(data, *target)
    comparison = verify_onnx(model, to_onnx(model, X=data), data)
    assert comparison, str(comparison)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.UnidentifiedEventsWarning")
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@pytest.mark.parametrize("instance", TABLES, ids=lambda model: type(model).__name__)
def test_every_estimator_of_tables(instance):
    assert_same_or_refused(instance, X, Y)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.TruncationWarning")
@pytest.mark.parametrize("instance", OTHERS, ids=lambda model: type(model).__name__)
def test_every_other_estimator(instance):
    mixed = isinstance(instance, EventsTransformer)
    assert_same_or_refused(instance, Events(met=X[:40, 0]) if mixed else CLOUDS)
