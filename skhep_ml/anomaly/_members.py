"""Several classifiers of the same events, averaged."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skhep_ml._routing import inner_fit_params


class MemberClassifier(BaseEstimator):
    """Mean probability of several clones of a classifier that differ by their random state.

    Parameters
    ----------
    estimator : estimator
        Classifier with probabilities.
    n_members : int
        Number of clones.
    random_state : int, RandomState instance or None
        Seed of the members' seeds; members that hold out events by identifier also get a salt of
        their own.
    """

    def __init__(self, estimator: Any, n_members: int, *, random_state: Any = None) -> None:
        self.estimator = estimator
        self.n_members = n_members
        self.random_state = random_state

    def fit(
        self,
        X: NDArray[Any],
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: Any = None,
    ) -> Self:
        """Fit all members to the same events."""
        rng = check_random_state(self.random_state)
        params = inner_fit_params(
            self, self.estimator, {}, sample_weight=sample_weight, groups=groups
        )
        self.members_ = []
        for member in range(self.n_members):
            model = reseed(clone(self.estimator), rng)
            for name, value in model.get_params().items():
                if name.split("__")[-1] == "salt":
                    model.set_params(**{name: int(value) + member})
            self.members_.append(model.fit(X, y, **params))
        return self

    def probability(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Mean probability of the second class."""
        parts = [model.predict_proba(X)[:, 1] for model in self.members_]
        return np.mean(parts, axis=0, dtype=np.float64)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata is routed to the members."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)


def reseed(model: Any, rng: np.random.RandomState) -> Any:
    """Give a model, and all that is inside, seeds of its own."""
    for name in sorted(model.get_params()):
        if name.split("__")[-1] == "random_state":
            model.set_params(**{name: int(rng.randint(2**31 - 1))})
    return model
