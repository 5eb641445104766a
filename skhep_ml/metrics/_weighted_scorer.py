"""What scorers of the package share: they ask for the event weights by themselves."""

from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRequest

from skhep_ml._compat import BaseScorer


class WeightedScorer(BaseEstimator, BaseScorer):
    """Base of scorers that request ``sample_weight`` by default; larger scores are better."""

    __metadata_request__score: ClassVar[dict[str, bool]] = {"sample_weight": True}

    greater_is_better = True
    _sign = 1
    _kwargs: ClassVar[dict[str, Any]] = {}

    def set_score_request(self, **requests: Any) -> Self:
        """Set which metadata the scorer asks for.

        Parameters
        ----------
        **requests : bool, None or str
            ``sample_weight=False`` ignores weights, a string is the name they are passed by.

        Returns
        -------
        self : object
            The scorer itself.
        """
        # only what was asked is kept: a stored MetadataRequest breaks when imbalanced-learn,
        # imported later, adds a method to scikit-learn's list
        self._score_request = requests
        return self

    def __sklearn_clone__(self) -> Self:
        copy = super().__sklearn_clone__()
        if hasattr(self, "_score_request"):
            copy._score_request = dict(self._score_request)
        return copy

    def _get_metadata_request(self) -> MetadataRequest:
        request = MetadataRequest(owner=self)
        requests = getattr(self, "_score_request", self.__metadata_request__score)
        for name, alias in requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def _accept_sample_weight(self) -> bool:
        return True
