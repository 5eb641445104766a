"""Networks that are skorch nets and scikit-learn estimators, trained under physics weights."""

from skhep_ml.neural_network import modules
from skhep_ml.neural_network._callbacks import ScoreDistribution
from skhep_ml.neural_network._classifier import NetClassifier
from skhep_ml.neural_network._rate_range import RateRange, lr_range_test
from skhep_ml.neural_network._regressor import NetRegressor

__all__ = [
    "NetClassifier",
    "NetRegressor",
    "RateRange",
    "ScoreDistribution",
    "lr_range_test",
    "modules",
]
