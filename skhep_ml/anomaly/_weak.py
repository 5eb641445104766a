"""What classifiers share that learn a signal region from data without labels."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import ClassifierTags, Tags, _safe_indexing, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._frames import refuse_repeated_columns
from skhep_ml._validation import align_columns, check_event_id, check_event_weight
from skhep_ml.anomaly._members import MemberClassifier
from skhep_ml.anomaly._regions import (
    OUTSIDE,
    Regions,
    check_populated,
    check_regions,
    take_features,
    take_identifiers,
    take_mass,
)
from skhep_ml.metrics._uniform_groups import check_count
from skhep_ml.model_selection import RotatingClassifier

Array = NDArray[np.float64]


class FoldModel(BaseEstimator):
    """The model of one fold, which sees the mass and the regions.

    Subclasses write ``_training_sample``.
    """

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    estimator: Any
    position: int
    regions: Regions
    n_members: int
    random_state: Any

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, groups: Any = None
    ) -> Self:
        """Fit the members to the events of the other folds."""
        self.classes_ = np.array([0, 1])
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        # once more: what is left without a fold may be too little
        region, sums = check_populated(self.regions, take_mass(X, self.position), weight)
        features, label, weight, groups = self._training_sample(X, region, sums, weight, groups)
        self.model_ = MemberClassifier(
            self.estimator, self.n_members, random_state=self.random_state
        ).fit(features, label, weight * (len(weight) / np.abs(weight).sum()), groups)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probability of the signal region, and what is left to 1."""
        p = self.model_.probability(take_features(X, self.position))
        return np.column_stack([1 - p, p])

    def _training_sample(
        self,
        X: Any,
        region: NDArray[np.intp],
        sums: Array,
        weight: Array | None,
        groups: Any,
    ) -> tuple[NDArray[Any], NDArray[np.intp], Array, Any]:
        """Features, labels, weights and identifiers that the classifier is trained on."""
        raise NotImplementedError


class WeakClassifier(MetaEstimatorMixin, BaseEstimator):
    """Base of the classifiers that learn from a signal region and its sidebands."""

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__predict = {"groups": True}
    __metadata_request__predict_proba = {"groups": True}
    __metadata_request__decision_function = {"groups": True}

    signal_region: Any
    mass: Any
    sidebands: Any
    estimator: Any
    n_members: int
    n_splits: int
    id_columns: Any
    salt: int
    unidentified: str
    n_jobs: int | None
    random_state: Any

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit one model a fold, each on the events of all other folds.

        Parameters
        ----------
        X : array-like of shape (n_events, n_columns)
            Data: the features and the mass, with the identifiers among them where ``id_columns``
            says so.
        y : None
            Ignored: nobody knows it.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        ValueError
            A mass that is no column or not finite, no other column, a region without events or
            whose weights sum to 0 or less, an empty fold, or what the models refuse.
        TypeError
            A classifier without probabilities, or a density that cannot be sampled at a mass.

        Warns
        -----
        UnidentifiedEventsWarning
            Neither ``groups`` nor ``id_columns``: every prediction is the mean of all models.
        """
        check_count(self.n_members, "n_members")
        if not hasattr(self._classifier(), "predict_proba"):
            msg = (
                f"estimator={self.estimator!r} has no predict_proba: take a classifier with "
                "probabilities, or wrap it in CalibratedClassifierCV"
            )
            raise TypeError(msg)
        refuse_repeated_columns(X)
        X, position, groups = take_identifiers(X, self.mass, self.id_columns, groups)
        validate_data(self, X, skip_check_array=True)
        if self.n_features_in_ < 2:
            msg = (
                f"X has 1 feature(s), the mass {self.mass!r}, and nothing to learn from: at least "
                "one more column is needed"
            )
            raise ValueError(msg)
        mass = take_mass(X, position)
        if len(mass) < 3:
            msg = f"n_samples = {len(mass)}: signal region and sidebands need an event each"
            raise ValueError(msg)
        regions = self._check_regions(mass)
        weight = check_event_weight(sample_weight, len(mass))
        if groups is not None:
            check_event_id(groups, len(mass))
        region, _ = check_populated(regions, mass, weight)
        fold_model = self._fold_model(X, position, regions)
        rows = np.flatnonzero(region != OUTSIDE)
        self.rotation_ = RotatingClassifier(
            fold_model,
            self.n_splits,
            salt=self.salt,
            unidentified=self.unidentified,
            n_jobs=self.n_jobs,
        )
        X, weight, groups = (_rows(one, rows) for one in (X, weight, groups))
        # the regions as classes: folds that follow the rows then have events of all three
        self.rotation_.fit(X, region[rows], weight, groups)
        self.estimators_ = [model.model_.members_ for model in self.rotation_.estimators_]
        self.classes_ = np.array([0, 1])
        self.mass_index_ = position
        return self

    def _check_regions(self, mass: Array) -> Regions:
        return check_regions(self.signal_region, self.sidebands)

    def _fold_model(self, X: Any, position: int, regions: Regions) -> FoldModel:
        raise NotImplementedError

    def _classifier(self) -> Any:
        """Classifier to clone; by default small trees that stop early."""
        if self.estimator is not None:
            return self.estimator
        from skhep_ml.ensemble import BDTClassifier

        return BDTClassifier(
            n_estimators=300,
            learning_rate=0.05,
            max_depth=4,
            subsample=0.7,
            early_stopping_rounds=20,
            validation_fraction=0.3,
            device="cpu",
            n_jobs=1,
        )

    def predict_proba(self, X: Any, groups: ArrayLike | None = None) -> Array:
        """Probability of the signal region rather than background, without looking at the mass.

        Parameters
        ----------
        X : array-like of shape (n_events, n_columns)
            Events with the columns of fit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_events, 2)
            In its second column the mean over the members of the model that did not see the event.
            Training gave both classes the same weight: signal raises it above one half.
        """
        check_is_fitted(self)
        X, _, groups = take_identifiers(X, self.mass, self.id_columns, groups)
        X = align_columns(self, X)
        validate_data(self, X, reset=False, skip_check_array=True)
        take_mass(X, self.mass_index_)
        return np.asarray(self.rotation_.predict_proba(X, groups))

    def decision_function(self, X: Any, groups: ArrayLike | None = None) -> Array:
        """Log odds of `predict_proba`, in the ideal case a function of the likelihood ratio.

        Parameters
        ----------
        X : array-like of shape (n_events, n_columns)
            Events with the columns of fit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_events,)
            Scores, greater for what there is more of in the signal region.
        """
        p = np.maximum(self.predict_proba(X, groups), np.finfo(np.float32).tiny)
        return np.log(p[:, 1]) - np.log(p[:, 0])

    def predict(self, X: Any, groups: ArrayLike | None = None) -> NDArray[np.intp]:
        """Tell which events are more like the signal region than like background.

        Parameters
        ----------
        X : array-like of shape (n_events, n_columns)
            Events with the columns of fit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of shape (n_events,)
            1 where the probability is above one half, otherwise 0. A search cuts much harder: see
            `bump_hunt`.
        """
        return (self.predict_proba(X, groups)[:, 1] > 0.5).astype(np.intp)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._classifier())
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.target_tags.required = False
        return tags


def _rows(values: Any, rows: NDArray[np.intp]) -> Any:
    return None if values is None else _safe_indexing(values, rows)
