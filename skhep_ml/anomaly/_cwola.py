"""Classification without labels: signal region against sidebands."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.anomaly._regions import SIGNAL, Regions, take_features
from skhep_ml.anomaly._weak import Array, FoldModel, WeakClassifier


class _CWoLaFold(FoldModel):
    def __init__(
        self,
        estimator: Any,
        position: int,
        regions: Regions,
        n_members: int,
        *,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.position = position
        self.regions = regions
        self.n_members = n_members
        self.random_state = random_state

    def _training_sample(
        self,
        X: Any,
        region: NDArray[np.intp],
        sums: Array,
        weight: Array | None,
        groups: Any,
    ) -> tuple[NDArray[Any], NDArray[np.intp], Array, Any]:
        label = (region == SIGNAL).astype(np.intp)
        # the signal region counts as much as both sidebands, and these as much as each other
        factor = np.where(label == 1, 1.0, 0.5) / sums[region]
        weight = factor if weight is None else factor * weight
        return take_features(X, self.position), label, weight, groups


class CWoLaClassifier(WeakClassifier):
    """Search for a resonance by classifying its signal region against the sidebands.

    Classification without labels: a classifier that tells two mixtures of signal and background
    apart by what signal looks like tells signal from background. The mixtures are the data in a
    window of the mass and those beside it; the classifier does not see the mass. No simulation is
    needed, but the features must not know the mass: what does, moves with it and is found instead
    of signal. `CathodeClassifier` corrects for that.

    Parameters
    ----------
    signal_region : pair of float
        Window (low, high) of the mass, in units of the mass.
    mass : str or int
        Column of the mass in X, by name or number.
    sidebands : pair of pairs of float, default=None
        Intervals below and above the signal region; None takes all events outside of it. Narrow
        ones look more like the background in the signal region, wide ones have more events.
    estimator : estimator, default=None
        Classifier with probabilities that takes weights; None takes a `BDTClassifier` with
        early stopping. It gets the features as an array, in the order of the columns.
    n_members : int, default=8
        Classifiers a fold, with different seeds, whose probabilities are averaged. With few signal
        events one alone follows fluctuations.
    n_splits : int, default=5
        Number of folds by event identifier; each event is predicted by the model that never saw
        it.
    id_columns : str, int or sequence of them, default=None
        Integer columns of X that identify events; the models do not see them.
    salt : int, default=0
        Another salt gives independent folds.
    unidentified : {"raise", "mean"}, default="raise"
        What to do where a model fitted with identifiers is asked to predict without: refuse, or
        average all models, which is right for events that none of them saw.
    n_jobs : int, default=None
        Folds fitted in parallel.
    random_state : int, RandomState instance or None, default=None
        Seed of the members.

    Attributes
    ----------
    rotation_ : RotatingClassifier
        The models of the folds.
    estimators_ : list of list of estimators
        Members of each fold; ``estimators_[k]`` never saw the events of fold k.
    classes_ : ndarray of shape (2,)
        0 for background, 1 for what there is more of in the signal region.
    mass_index_ : int
        Number of the column of the mass, identifiers left out.
    n_features_in_ : int
        Number of columns, the mass among them.
    feature_names_in_ : ndarray of str
        Their names, if fitted on a DataFrame.

    See Also
    --------
    CathodeClassifier : A background template in the signal region instead of sidebands.
    bump_hunt : The mass spectrum before and after a cut on the score.
    skhep_ml.model_selection.RotatingClassifier : The folds.

    Notes
    -----
    For mixtures of signal and background densities with signal fractions :math:`f_1 > f_2` the
    likelihood ratio :math:`(f_1 r + 1 - f_1)/(f_2 r + 1 - f_2)` rises with that of signal and
    background, r: both order events alike.

    The weights of the signal region sum to as much as those of both sidebands together, which sum
    to as much as each other, so that a linear trend of a feature with the mass cancels to first
    order. There is no ``score``: without labels there is none to give. To compare settings on
    simulation, use `skhep_ml.metrics.significance_improvement_scorer` with its truth.

    References
    ----------
    E. Metodiev, B. Nachman, J. Thaler, JHEP 10 (2017) 174, arXiv:1708.02949.
    J. Collins, K. Howe, B. Nachman, Phys. Rev. Lett. 121 (2018) 241803, arXiv:1805.02664.

    Examples
    --------
    >>> from skhep_ml.anomaly import CWoLaClassifier
    >>> from skhep_ml.datasets import make_resonance_search
    >>> from skhep_ml.metrics import roc_auc_score
    >>> events = make_resonance_search(20_000, signal_fraction=0.02, as_frame=True, random_state=0)
    >>> search = CWoLaClassifier(
    ...     events.signal_region, mass="m_jj", n_members=1, n_splits=2, random_state=0)
    >>> search = search.fit(events.data, groups=events.event_number)
    >>> score = search.decision_function(events.data, groups=events.event_number)
    >>> bool(roc_auc_score(events.target, score) > 0.8)
    True
    """

    def __init__(
        self,
        signal_region: tuple[float, float],
        *,
        mass: Any,
        sidebands: Any = None,
        estimator: Any = None,
        n_members: int = 8,
        n_splits: int = 5,
        id_columns: Any = None,
        salt: int = 0,
        unidentified: str = "raise",
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.signal_region = signal_region
        self.mass = mass
        self.sidebands = sidebands
        self.estimator = estimator
        self.n_members = n_members
        self.n_splits = n_splits
        self.id_columns = id_columns
        self.salt = salt
        self.unidentified = unidentified
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fold_model(self, X: Any, position: int, regions: Regions) -> FoldModel:
        return _CWoLaFold(
            self._classifier(), position, regions, self.n_members, random_state=self.random_state
        )
