"""Classification of data in a signal region against background sampled from its sidebands."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import has_fit_parameter

from skhep_ml._hashing import event_hash
from skhep_ml.anomaly._dijet import binned_sums, check_dijet, fit_dijet
from skhep_ml.anomaly._members import reseed
from skhep_ml.anomaly._regions import SIGNAL, Interval, Regions, take_features, take_mass
from skhep_ml.anomaly._weak import Array, FoldModel, WeakClassifier
from skhep_ml.weights._base import effective_sample_size

#: Bins of the mass spectrum that is smoothed or fitted.
_N_BINS = 200
#: Salt of the identifiers of template events, apart from those of data.
_TEMPLATE_SALT = 0x43415448


class _CathodeFold(FoldModel):
    def __init__(
        self,
        estimator: Any,
        position: int,
        regions: Regions,
        n_members: int,
        density: Any,
        mass_model: str,
        oversampling: float,
        energy: float,
        *,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.position = position
        self.regions = regions
        self.n_members = n_members
        self.density = density
        self.mass_model = mass_model
        self.oversampling = oversampling
        self.energy = energy
        self.random_state = random_state

    def _training_sample(
        self,
        X: Any,
        region: NDArray[np.intp],
        sums: Array,
        weight: Array | None,
        groups: Any,
    ) -> tuple[NDArray[Any], NDArray[np.intp], Array, Any]:
        rng = check_random_state(self.random_state)
        signal, sideband = (np.flatnonzero(one) for one in (region == SIGNAL, region != SIGNAL))
        given = {}
        if weight is not None:
            given["sample_weight"] = weight[sideband]
        if groups is not None:
            groups = np.asarray(groups)
            if has_fit_parameter(self.density, "groups"):
                given["groups"] = groups[sideband]
        self.density_ = reseed(clone(self.density), rng)
        self.density_.fit(_safe_indexing(X, sideband), **given)
        mass = take_mass(X, self.position)
        w = np.ones(len(mass)) if weight is None else weight
        n_template = int(np.ceil(self.oversampling * len(signal)))
        context = self._masses(mass, w, region, n_template, rng)
        template = take_features(
            self.density_.sample(context=context[:, None], random_state=rng.randint(2**31 - 1)),
            self.position,
        )
        template = template[np.isfinite(template).all(axis=1)]
        if not len(template):
            msg = (
                f"the density {type(self.density).__name__} gave no finite event in the signal "
                "region: train it longer, or scale the features"
            )
            raise ValueError(msg)
        data = take_features(_safe_indexing(X, signal), self.position)
        features = np.concatenate([data, template.astype(data.dtype, copy=False)])
        label = np.repeat([1, 0], [len(data), len(template)])
        # both classes get the same sum
        n_made = len(template)
        weight = np.concatenate([w[signal] / sums[SIGNAL], np.full(n_made, 1 / n_made)])
        if groups is not None:
            made = event_hash(np.arange(n_made), salt=_TEMPLATE_SALT)
            groups = np.concatenate([event_hash(groups[signal]), made])
        return features, label, weight, groups

    def _masses(
        self,
        mass: Array,
        weight: Array,
        region: NDArray[np.intp],
        n: int,
        rng: np.random.RandomState,
    ) -> Array:
        """Masses of template events."""
        edges = np.linspace(*self.regions.signal, _N_BINS + 1)
        if self.mass_model == "kde":
            spectrum = smooth_spectrum(
                mass[region == SIGNAL], weight[region == SIGNAL], self.regions.signal
            )
        else:
            spectrum = self._fitted_spectrum(mass, weight, edges)
        cumulative = np.concatenate([[0.0], np.cumsum(spectrum)])
        return np.interp(rng.uniform(size=n) * cumulative[-1], cumulative, edges)

    def _fitted_spectrum(self, mass: Array, weight: Array, edges: Array) -> Array:
        """Background in the bins of the signal region, from a fit of the sidebands."""
        low, high = (float(mass.min()), float(np.nextafter(mass.max(), np.inf)))
        (left, right), width = self.regions.signal, (high - low) / _N_BINS
        below, above = (max(2, round(part / width)) for part in (left - low, high - right))
        sides = np.linspace(low, left, below + 1), np.linspace(right, high, above + 1)
        bins = np.concatenate(sides)
        used = np.arange(below + above + 1) != below
        index = np.clip(np.searchsorted(bins, mass, "right") - 1, 0, len(used) - 1)
        values, squares = binned_sums(index, weight, len(used))
        # sidebands that leave gaps have empty bins, which are none of the spectrum
        inside = self.regions.of((bins[1:] + bins[:-1]) / 2) >= 0
        fit = fit_dijet(bins, values, squares, used & inside, n_parameters=3, energy=self.energy)
        return fit.density((edges[1:] + edges[:-1]) / 2)


def smooth_spectrum(mass: Array, weight: Array, region: Interval) -> Array:
    """Gaussian kernel estimate of a spectrum in bins, mirrored at the ends of the region.

    The width of the kernel is Scott's, with the effective number of events. Negative bins of
    signed weights, if any are left, count as empty.
    """
    counts = np.histogram(mass, np.linspace(*region, _N_BINS + 1), weights=weight)[0]
    spread = float(np.std(mass)) * effective_sample_size(weight) ** -0.2
    width = max(spread / (region[1] - region[0]) * _N_BINS, 1.0)
    return np.maximum(gaussian_filter1d(counts.astype(np.float64), width, mode="reflect"), 0.0)


class CathodeClassifier(WeakClassifier):
    """Search for a resonance by classifying data against background sampled from the sidebands.

    A density of the features given the mass is learned in the sidebands, where there is hardly any
    signal, and sampled at masses of the signal region. A classifier then tells the data in the
    signal region from that template: what is left as a difference is signal. Features may depend
    on the mass, which the density follows.

    Parameters
    ----------
    signal_region : pair of float
        Window (low, high) of the mass, in units of the mass.
    mass : str or int
        Column of the mass in X, by name or number.
    density : estimator, default=None
        Generative model with ``context_features``, ``fit`` and ``sample(context=)``, such as
        those of `skhep_ml.generative`; its ``context_features`` are set to the mass. None takes a
        RealNVP (`NormalizingFlow`) of 6 transforms in 30 epochs. Better is one that is given the
        ``domains`` of features with ends.
    sidebands : pair of pairs of float, default=None
        Intervals below and above the signal region; None takes all events outside of it.
    estimator : estimator, default=None
        Classifier with probabilities that takes weights; None takes a `BDTClassifier` with
        early stopping. It gets the features as an array, in the order of the columns.
    n_members : int, default=8
        Classifiers a fold, with different seeds, whose probabilities are averaged.
    mass_model : {"kde", "fit"}, default="kde"
        Where the masses of the template come from: a kernel estimate of the data in the signal
        region, or the dijet function of `bump_hunt` fitted to the sidebands.
    oversampling : float, default=4.0
        Template events for one event of data in the signal region: the more, the less the
        template fluctuates.
    energy : float, default=13000.0
        Centre-of-mass energy in units of the mass, for ``mass_model="fit"``.
    n_splits : int, default=5
        Number of folds by event identifier, each with a density and classifiers of its own; each
        event is predicted by the model that never saw it.
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
        Seed of densities, samples and members.

    Attributes
    ----------
    rotation_ : RotatingClassifier
        The models of the folds.
    densities_ : list of estimators
        The density of each fold.
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
    CWoLaClassifier : Sidebands themselves as background: quicker, for features that do not know
        the mass.
    bump_hunt : The mass spectrum before and after a cut on the score.

    Notes
    -----
    With a perfect density the classifier is the idealised one: data against pure background in the
    signal region, :math:`f r + 1 - f` for a signal fraction f and the likelihood ratio r.

    The density is trained on signed weights by its own policy; the classifier gets the data's
    weights as they are and the template's with the same sum. Samples that are not finite are left
    out.

    References
    ----------
    A. Hallin et al., Classifying anomalies through outer density estimation, Phys. Rev. D 106
    (2022) 055006, arXiv:2109.00546.

    Examples
    --------
    >>> from skhep_ml.anomaly import CathodeClassifier
    >>> from skhep_ml.datasets import make_resonance_search
    >>> from skhep_ml.generative import NormalizingFlow
    >>> events = make_resonance_search(3000, signal_fraction=0.03, as_frame=True, random_state=0)
    >>> flow = NormalizingFlow("realnvp", hidden=(16,), max_epochs=2, batch_size=512)
    >>> search = CathodeClassifier(
    ...     events.signal_region, mass="m_jj", density=flow, n_members=1, n_splits=2,
    ...     random_state=0)
    >>> search = search.fit(events.data, groups=events.event_number)
    >>> search.decision_function(events.data, groups=events.event_number).shape
    (3000,)
    """

    def __init__(
        self,
        signal_region: tuple[float, float],
        *,
        mass: Any,
        density: Any = None,
        sidebands: Any = None,
        estimator: Any = None,
        n_members: int = 8,
        mass_model: str = "kde",
        oversampling: float = 4.0,
        energy: float = 13_000.0,
        n_splits: int = 5,
        id_columns: Any = None,
        salt: int = 0,
        unidentified: str = "raise",
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.signal_region = signal_region
        self.mass = mass
        self.density = density
        self.sidebands = sidebands
        self.estimator = estimator
        self.n_members = n_members
        self.mass_model = mass_model
        self.oversampling = oversampling
        self.energy = energy
        self.n_splits = n_splits
        self.id_columns = id_columns
        self.salt = salt
        self.unidentified = unidentified
        self.n_jobs = n_jobs
        self.random_state = random_state

    @property
    def densities_(self) -> list[Any]:
        """The density of each fold."""
        return [model.density_ for model in self.rotation_.estimators_]

    def _fold_model(self, X: Any, position: int, regions: Regions) -> FoldModel:
        if self.mass_model not in ("kde", "fit"):
            msg = f'mass_model must be "kde" or "fit", got {self.mass_model!r}'
            raise ValueError(msg)
        if not (isinstance(self.oversampling, Real) and 0 < self.oversampling < np.inf):
            msg = f"oversampling must be a positive number, got {self.oversampling!r}"
            raise ValueError(msg)
        if self.mass_model == "fit":
            mass = take_mass(X, position)
            check_dijet(3, self.energy, float(mass.min()), float(mass.max()))
        return _CathodeFold(
            self._classifier(),
            position,
            regions,
            self.n_members,
            self._conditional_density(X, position),
            self.mass_model,
            self.oversampling,
            self.energy,
            random_state=self.random_state,
        )

    def _conditional_density(self, X: Any, position: int) -> Any:
        """The density to clone, with the mass as its context."""
        density = self.density
        if density is None:
            from skhep_ml.generative import NormalizingFlow

            density = NormalizingFlow("realnvp", n_transforms=6, hidden=(64,), max_epochs=30)
        if (
            isinstance(density, type)
            or not hasattr(density, "sample")
            or "context_features" not in density.get_params()
        ):
            msg = (
                f"density={density!r} cannot be sampled at given masses: take a model with "
                "context_features and sample(context=), such as skhep_ml.generative.NormalizingFlow"
            )
            raise TypeError(msg)
        column = X.columns[position] if hasattr(X, "columns") else position
        return clone(density).set_params(context_features=[column])
