"""Detectors of rare events, around models that score how usual an event is."""

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, clone
from sklearn.utils import Tags, _safe_indexing, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import _num_samples, check_is_fitted

from skhep_ml._routing import inner_fit_params
from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_positive_sum
from skhep_ml.metrics._uniform_groups import efficiency_cut

Array = NDArray[np.float64]


class _ScoreDetector(OutlierMixin, MetaEstimatorMixin, BaseEstimator):
    """Base of the detectors; subclasses give the default estimator."""

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    estimator_: Any
    offset_: float

    def __init__(self, estimator: Any = None, *, contamination: float = 0.1) -> None:
        self.estimator = estimator
        self.contamination = contamination

    def _default_estimator(self, X: Any) -> Any:
        raise NotImplementedError

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the model, and the limit below which an event is an outlier.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events, or whatever else the model takes: clouds, images.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for models that hold out events.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            A contamination outside (0, 0.5], weights that sum to 0 or less or that the model does
            not take, or what the model refuses.
        """
        if not (isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5):
            msg = f"contamination must lie in (0, 0.5], got {self.contamination!r}"
            raise ValueError(msg)
        estimator = self._default_estimator(X) if self.estimator is None else self.estimator
        if not hasattr(estimator, "score_samples"):
            msg = (
                f"{estimator!r} has no score_samples: take a density, such as NormalizingFlow or "
                "GaussianMixture, an Autoencoder, or another detector"
            )
            raise TypeError(msg)
        weight = check_event_weight(sample_weight, _num_samples(X))
        if weight is not None:
            check_positive_sum(weight, "training")
            if not weight.all():  # densities that take weights take the logarithm of each
                counts = np.flatnonzero(weight)
                X, weight = _safe_indexing(X, counts), weight[counts]
                groups = None if groups is None else _safe_indexing(groups, counts)
        params = inner_fit_params(self, estimator, {}, sample_weight=weight, groups=groups)
        self.estimator_ = clone(estimator).fit(X, **params)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        limit = -efficiency_cut(-self.score_samples(X), weight, self.contamination)
        # the event at the limit is an outlier, as those of its score below 0 are
        self.offset_ = float(np.nextafter(limit, np.inf))
        return self

    def score_samples(self, X: Any) -> Array:
        """Score of each event, the lower the more unusual.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            The model's ``score_samples``. As a score for signal, take its negative.
        """
        check_is_fitted(self)
        return np.asarray(self.estimator_.score_samples(X), dtype=np.float64)

    def decision_function(self, X: Any) -> Array:
        """Distance of the score from the limit.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            ``score_samples(X) - offset_``: negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Tell outliers from inliers.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        ndarray of shape (n_events,)
            -1 for outliers, 1 for inliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata is routed to the model.

        Returns
        -------
        MetadataRouter
            Requests of this object and of the model inside.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        if self.estimator is None:
            return router
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            inner = get_tags(self.estimator)
            tags.input_tags.allow_nan = inner.input_tags.allow_nan
            tags.input_tags.sparse = inner.input_tags.sparse
            tags.input_tags.three_d_array = inner.input_tags.three_d_array
        return tags


class DensityDetector(_ScoreDetector):
    """Outlier detector by a density: events are the more unusual the less there are like them.

    Parameters
    ----------
    estimator : estimator, default=None
        Any model with ``fit`` and ``score_samples``: a flow or another model of
        `skhep_ml.generative`, scikit-learn's GaussianMixture, BayesianGaussianMixture,
        KernelDensity or IsolationForest. None takes a `NormalizingFlow`.
    contamination : float, default=0.1
        Share of the training events, by weight, that are called outliers, in (0, 0.5].

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.
    offset_ : float
        Score below which an event is an outlier.
    n_features_in_ : int
        Number of features, where the model knows it.
    feature_names_in_ : ndarray of str
        Their names, where the model knows them.

    See Also
    --------
    AutoencoderDetector : By the error of a reconstruction.
    CathodeClassifier : A search for a resonance, where a mass tells where to look.

    Notes
    -----
    A density changes with the choice of variables: what is rare in x is not what is rare in log x.
    Signal on top of much background is not rare and is not found; it must lie in the tails.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skhep_ml.anomaly import DensityDetector
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> detector = DensityDetector(GaussianMixture(), contamination=0.05).fit(X)
    >>> int((detector.predict(X) == -1).sum()), detector.predict([[0.0, 0.0], [5.0, 5.0]])
    (50, array([ 1, -1]))
    """

    def _default_estimator(self, X: Any) -> Any:
        from skhep_ml.generative import NormalizingFlow

        return NormalizingFlow()


class AutoencoderDetector(_ScoreDetector):
    """Outlier detector by the error of an autoencoder, which makes badly what it has seldom seen.

    Parameters
    ----------
    estimator : Autoencoder, default=None
        Autoencoder, or a Pipeline that ends with one; its ``score_samples`` is minus the
        reconstruction error. None takes an `Autoencoder` with half as many latent variables as
        there are features.
    contamination : float, default=0.1
        Share of the training events, by weight, that are called outliers, in (0, 0.5].

    Attributes
    ----------
    estimator_ : estimator
        The fitted autoencoder.
    offset_ : float
        Score below which an event is an outlier.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Their names, if fitted on a DataFrame.

    See Also
    --------
    DensityDetector : By a density.

    Notes
    -----
    The bottleneck must be narrow: with as many latent variables as features, everything is made
    well. Simple events are made well even where they are rare.

    References
    ----------
    T. Heimel, G. Kasieczka, T. Plehn, J. Thompson, SciPost Phys. 6 (2019) 030, arXiv:1808.08979.
    M. Farina, Y. Nakai, D. Shih, Phys. Rev. D 101 (2020) 075021, arXiv:1808.08992.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.anomaly import AutoencoderDetector
    >>> from skhep_ml.generative import Autoencoder
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> X = np.column_stack([x, x + rng.normal(0, 0.05, 2000)])
    >>> model = Autoencoder(1, max_epochs=15, lr=0.01, batch_size=128, device="cpu", random_state=0)
    >>> detector = AutoencoderDetector(model, contamination=0.01).fit(X)
    >>> detector.predict([[0.5, 0.5], [0.7, -0.7]])
    array([ 1, -1])
    """

    def _default_estimator(self, X: Any) -> Any:
        from skhep_ml.generative import Autoencoder

        shape = getattr(X, "shape", None) or np.shape(X)
        return Autoencoder(max(1, shape[1] // 2) if len(shape) == 2 else 8)
