"""Unbinned unfolding by iterated reweighting with classifiers."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MetaEstimatorMixin
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._hashing import check_no_empty_fold, event_fold
from skhep_ml._masks import unmasked
from skhep_ml._routing import fit_param_path, last_model, splits_without_groups
from skhep_ml._two_sample import least_leaf
from skhep_ml._validation import align_columns, check_edges
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.reweighting._base import as_columns, hashed_identifiers, weights_before
from skhep_ml.reweighting._ratio import NO_FOLD, Ratio, Sample, fit_ratio, product_of_ratios
from skhep_ml.reweighting._unfolding_inputs import (
    Inputs,
    UnfoldingEstimator,
    replica_inputs,
)
from skhep_ml.reweighting._unfolding_results import Monitor, UnfoldedHistogram, UnfoldingSummary
from skhep_ml.weights._policies import check_policy, training_weights

_KIND = "reweighting"
# from so many events on, scikit-learn's boosting stops early unless told otherwise
_AUTO_STOPPING = 10_000


class _Result(NamedTuple):
    """What one pass over the iterations learns."""

    ratios: list[Ratio]
    purity: Ratio | None
    weights: NDArray[np.float64]
    summary: UnfoldingSummary


class OmniFold(MetaEstimatorMixin, UnfoldingEstimator):
    r"""Unbinned unfolding of any number of features, by iterated reweighting with classifiers.

    Simulated events get weights under which their truth is what the data say, corrected for
    resolution, efficiency and fakes.

    Parameters
    ----------
    classifier_reco : classifier, default=None
        Any classifier with ``predict_proba`` that takes ``sample_weight`` in fit, for reconstructed
        features: a model, a Pipeline or a search. None is a `BDTClassifier` of 50 small trees.
    classifier_truth : classifier, default=None
        The same for true features; None takes a clone of ``classifier_reco``.
    n_iterations : int, default=4
        Number of iterations, which is the regularisation: few stay near simulation's truth, many
        amplify fluctuations.
    n_splits : int, default=2
        Folds by event: each event's weight comes from classifiers that did not see it. None trains
        one classifier a step on all events.
    clip : float, default=0.001
        Probabilities are kept between ``clip`` and ``1 - clip`` in each step.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, such as those of subtracted background in data or
        of NLO simulation, see `skhep_ml.weights.apply_negative_weights`. ``"keep"`` hands them to
        the classifiers, which must have a policy for them.
    n_bootstrap : int, default=0
        Poisson bootstrap replicas of data and simulation, each unfolded anew, for covariances.
    salt : int, default=0
        Another salt gives independent folds.
    n_jobs : int, default=None
        Threads of the default classifiers and of ``"refine"``; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of the default classifiers, of refinement and of replicas.
    verbose : int, default=0
        Show progress.

    Attributes
    ----------
    weights_ : ndarray of shape (n_sim,)
        Unfolded weight of every simulated event: ``sim_weight`` times the ratio of truths; 0 for
        those outside the truth selection. They sum to the unfolded number of events.
    weights_per_iteration_ : ndarray of shape (n_iterations, n_sim)
        The same after each iteration.
    replica_weights_ : ndarray of shape (n_bootstrap, n_sim)
        The same of every replica, the number of times it counts an event included.
    ratios_ : list
        The ratio of true densities that each iteration found; their product is the weight.
    purity_ : Ratio or None
        Expected fakes for each true event, as a function of reconstructed features; None where
        simulation has no fakes.
    replicas_ : list of list
        ``ratios_`` of every replica.
    n_features_in_ : int
        Number of true features.
    feature_names_in_ : ndarray of str
        Their names, if ``truth_sim`` was a DataFrame.
    reco_feature_names_ : ndarray of str or None
        Names of the reconstructed features.

    See Also
    --------
    skhep_ml.datasets.make_unfolding_toy : Jets to try it on, with known truth.
    ClassifierReweighter : One reweighting, without detector.

    Notes
    -----
    With t the truth and r the reconstruction of an event, w its weight in simulation and
    :math:`\nu_0 = 1`, iteration n

    1. learns :math:`\omega_n(t, r) = \nu_{n-1}(t)\, p_\mathrm{data}(r) / p_{w \nu_{n-1}}(r)`,
       the ratio of data to the simulation of the iteration before;
    2. learns :math:`\nu_n(t) = \nu_{n-1}(t)\, p_{w \omega_n}(t) / p_{w \nu_{n-1}}(t)`, that is
       the mean of :math:`\omega_n` over all events with the truth t.

    Densities p are sums of weights, not normalised, so that the total is unfolded too. In step 2
    every event enters twice, with the two weights. A classifier that stops early on held-out events
    must therefore take ``groups``, as all of ours do: were the copies of an event on both sides, it
    would stop at once. A step that learns too little leaves the result near simulation, one that
    learns too much is corrected by the next: rather too many trees than too few. With a classifier
    that returns shares in bins, the result is that of D'Agostini's iterative method in these bins.

    *Efficiency.* The response is learned from events that pass both selections, and
    :math:`\nu_n` then applies to all of the truth: events that are not reconstructed have the mean
    weight of those of the same truth that are.

    *Fakes* stay at the level of reconstruction: data enter with their weight times the purity
    p(pass_truth given r) in simulation, learned beforehand. Fakes thus scale with what they come
    with. Background of a fixed size is better subtracted: append it to ``reco_data`` with negative
    weights.

    *Folds* follow the identifiers (``sim_groups``, ``data_groups``), or else the content of events.
    Two models learn from each other's weights in later iterations, an effect of second order.

    *Errors* are those of replicas in which every event of data and of simulation counts a Poisson
    number of times, a function of its identifier. They include the statistics of both, but not the
    bias towards simulation, nor differences of the response: unfold varied simulations for these.

    References
    ----------
    A. Andreassen, P. Komiske, E. Metodiev, B. Nachman, J. Thaler, OmniFold: a method to
    simultaneously unfold all observables, arXiv:1911.09107; acceptance effects in A. Andreassen et
    al., Scaffolding simulations with deep learning for high-dimensional deconvolution,
    arXiv:2105.04448.

    G. D'Agostini, A multidimensional unfolding method based on Bayes' theorem, Nucl. Instrum. Meth.
    A 362 (1995) 487.

    Examples
    --------
    >>> from skhep_ml.datasets import make_unfolding_toy
    >>> from skhep_ml.reweighting import OmniFold
    >>> toy = make_unfolding_toy(4000, 4000, random_state=0)
    >>> unfolding = OmniFold(n_iterations=2, n_jobs=1, random_state=0)
    >>> unfolding = unfolding.fit(toy.truth_sim, toy.reco_sim, toy.reco_data,
    ...                           pass_truth=toy.pass_truth, pass_reco=toy.pass_reco,
    ...                           sim_groups=toy.event_number, data_groups=toy.event_number_data)
    >>> pt = toy.truth_sim[:, 0]
    >>> unfolding.histogram(pt, [100, 150, 250, 500]).counts.shape
    (3,)
    """

    __metadata_request__fit = {
        "truth_sim": UNUSED,
        "reco_sim": UNUSED,
        "reco_data": UNUSED,
        "sim_weight": True,
        "data_weight": True,
        "pass_reco": True,
        "pass_truth": True,
        "sim_groups": True,
        "data_groups": True,
    }

    def __init__(
        self,
        classifier_reco: Any = None,
        classifier_truth: Any = None,
        n_iterations: int = 4,
        *,
        n_splits: int | None = 2,
        clip: float = 0.001,
        negative_weights: str = "refine",
        n_bootstrap: int = 0,
        salt: int = 0,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.classifier_reco = classifier_reco
        self.classifier_truth = classifier_truth
        self.n_iterations = n_iterations
        self.n_splits = n_splits
        self.clip = clip
        self.negative_weights = negative_weights
        self.n_bootstrap = n_bootstrap
        self.salt = salt
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # --- fit ------------------------------------------------------------------------------------

    def fit(
        self,
        truth_sim: Any,
        reco_sim: Any,
        reco_data: Any,
        *,
        sim_weight: ArrayLike | None = None,
        data_weight: ArrayLike | None = None,
        pass_reco: ArrayLike | None = None,
        pass_truth: ArrayLike | None = None,
        sim_groups: Any = None,
        data_groups: Any = None,
    ) -> Self:
        """Unfold data with a simulation that knows truth and reconstruction.

        Parameters
        ----------
        truth_sim : array-like of shape (n_sim, n_features), (n_sim,) or (n_sim, ...)
            True features of the simulated events; a table, or whatever the classifier takes.
        reco_sim : array-like of shape (n_sim, n_reco_features), (n_sim,) or (n_sim, ...)
            Reconstructed features of the same events, row by row.
        reco_data : array-like of shape (n_data, n_reco_features), (n_data,) or (n_data, ...)
            Reconstructed features of the data; columns of DataFrames are matched by name.
        sim_weight : array-like of shape (n_sim,), default=None
            Weights of the simulated events, of any sign; None counts events.
        data_weight : array-like of shape (n_data,), default=None
            Weights of the data, such as negative ones of subtracted background.
        pass_reco : array-like of bool, shape (n_sim,), default=None
            Simulated events that were reconstructed and selected; None for all. What ``reco_sim``
            holds for the others does not matter.
        pass_truth : array-like of bool, shape (n_sim,), default=None
            Simulated events whose truth is inside the selection; None for all.
        sim_groups : array-like of int, shape (n_sim,) or (n_sim, k), default=None
            Identifiers of the simulated events; None takes their content.
        data_groups : array-like of int, shape (n_data,) or (n_data, k), default=None
            Identifiers of the data events; None takes their content.

        Returns
        -------
        self : OmniFold
            The fitted model.

        Raises
        ------
        ValueError
            Lengths that do not fit, masks without events, infinite values or missing ones in events
            that pass (unless the classifier takes them), weights whose sum is not positive, over
            all or clearly negative in a bin of a feature, identifiers that are no integers.

        Warns
        -----
        SupportWarning
            More than 1% of the data outside the range of simulation in a feature.
        UserWarning
            A classifier that stops early and takes no ``groups``, or a search whose splitter takes
            none.
        """
        self._check_params()
        reco, truth = self._classifiers()
        inputs = self._check_inputs(
            (truth_sim, reco_sim, reco_data),
            (sim_weight, data_weight),
            (pass_truth, pass_reco),
            (sim_groups, data_groups),
            tuple(get_tags(model).input_tags.allow_nan for model in (truth, reco)),
        )
        self.identified_ = sim_groups is not None
        self._warn_about_stopping(truth, 2 * int(inputs.both.sum()))
        random = check_random_state(self.random_state)
        seed, bootstrap_seed = (int(random.randint(2**31 - 1)) for _ in range(2))
        progress = self._progress()
        per_iteration: list[NDArray[np.float64]] = []
        result = self._unfold(inputs, seed, progress, per_iteration)
        self.ratios_, self.purity_, self.weights_, self._summary = result
        self.weights_per_iteration_ = np.stack(per_iteration)
        self.replicas_: list[list[Ratio]] = []
        self.replica_weights_ = np.empty((self.n_bootstrap, len(inputs.w_sim)))
        for k in range(self.n_bootstrap):
            drawn = replica_inputs(inputs, k, bootstrap_seed)
            replica = self._unfold(drawn, seed, progress)
            self.replicas_.append(replica.ratios)
            self.replica_weights_[k] = replica.weights
        for _ in progress:
            pass
        return self

    def _unfold(
        self,
        inputs: Inputs,
        seed: int,
        progress: Iterator[Any],
        per_iteration: list[NDArray[np.float64]] | None = None,
    ) -> _Result:
        """Run all iterations on one set of weights."""
        n_events = int(inputs.both.sum()) + min(int(inputs.both.sum()), len(inputs.data))
        reco_model, truth_model = self._classifiers(seed, n_events)
        n_models = self.n_splits or 1
        w_sim, w_data = self._train_weights(inputs, seed)
        fold_sim, fold_data = self._folds(inputs.event_sim), self._folds(inputs.event_data)

        def sample(X: NDArray[Any], weight: NDArray[np.float64], rows: Any) -> Sample:
            return Sample(X[rows], weight[rows], fold_sim[rows], inputs.event_sim[rows])

        def ratio_of(model: Any, first: Sample, second: Sample, names: Any) -> Ratio:
            return fit_ratio(model, first, second, n_models, clip=self.clip, names=names)

        reco_names, truth_names = self.reco_feature_names_, getattr(self, "feature_names_in_", None)
        both, fakes = inputs.both, inputs.fakes & (w_sim != 0)
        purity = None
        share = np.ones(len(w_data))
        if fakes.any():
            true, fake = (sample(inputs.reco, w_sim, rows) for rows in (both, fakes))
            purity = ratio_of(reco_model, true, fake, reco_names)
            share = 1 / (1 + purity(inputs.data, fold_data))
        data = Sample(inputs.data, w_data * share, fold_data, inputs.event_data)
        monitor = Monitor(inputs, share)
        ratio = np.where(inputs.pass_truth, 1.0, 0.0)
        monitor.record(ratio)
        ratios = []
        for _ in range(self.n_iterations):
            simulated = sample(inputs.reco, w_sim * ratio, both)
            step = ratio_of(reco_model, simulated, data, reco_names)
            pulled = simulated.weight * step(simulated.X, simulated.fold)
            before = sample(inputs.truth, w_sim * ratio, both)
            after = before._replace(weight=pulled)
            learned = ratio_of(truth_model, before, after, truth_names)
            ratios.append(learned)
            truth = inputs.truth[inputs.pass_truth]
            ratio = ratio.copy()
            ratio[inputs.pass_truth] *= learned(truth, fold_sim[inputs.pass_truth])
            monitor.record(ratio, step.auc(simulated, data))
            if per_iteration is not None:
                per_iteration.append(inputs.w_sim * ratio)
            next(progress, None)
        return _Result(ratios, purity, inputs.w_sim * ratio, monitor.summary())

    def _train_weights(
        self, inputs: Inputs, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights after the policy, learned once where truth and reconstruction are both seen."""
        options = {"random_state": seed, "n_jobs": self.n_jobs}
        joint = np.concatenate(
            [
                np.where(passes[:, None], table.reshape(len(table), -1), np.nan)
                for table, passes in (
                    (inputs.truth, inputs.pass_truth),
                    (inputs.reco, inputs.pass_reco),
                )
            ],
            axis=1,
        )
        out = []
        for table, name, weight, event in (
            (joint, "simulation", inputs.w_sim, inputs.event_sim),
            (inputs.data, "data", inputs.w_data, inputs.event_data),
        ):
            trained = weight
            if weight.min() < 0:
                codes, classes = np.zeros(len(weight), dtype=np.intp), np.array([name])
                trained = training_weights(
                    table.reshape(len(table), -1),
                    codes,
                    classes,
                    weight,
                    self.negative_weights,
                    groups=event,
                    **options,
                )
                if trained.min() < 0:
                    self._check_keep()
            out.append(trained)
        return out[0], out[1]

    def _folds(self, event: NDArray[np.uint64]) -> NDArray[np.intp]:
        if self.n_splits is None:
            return np.full(len(event), NO_FOLD)
        fold = event_fold(event, self.n_splits, _KIND, self.salt)
        check_no_empty_fold(fold, self.n_splits)
        return fold

    def _progress(self) -> Iterator[Any]:
        steps = range(self.n_iterations * (1 + self.n_bootstrap))
        if not self.verbose:
            return iter(steps)
        from tqdm.auto import tqdm

        return iter(tqdm(steps, desc="iterations"))

    # --- checks ---------------------------------------------------------------------------------

    def _classifiers(self, seed: int = 0, n_events: int | None = None) -> tuple[Any, Any]:
        """Return the unfitted models of reconstruction and truth."""
        reco = self.classifier_reco
        if reco is None:
            from skhep_ml.ensemble import BDTClassifier

            # stopped early, a step is too smooth, and the result stays near simulation
            reco = BDTClassifier(
                50,
                max_depth=3,
                learning_rate=0.2,
                min_child_weight=least_leaf(50, n_events),
                negative_weights=self.negative_weights,
                n_jobs=self.n_jobs,
                random_state=seed,
            )
        return reco, reco if self.classifier_truth is None else self.classifier_truth

    def _check_params(self) -> None:
        check_policy(self.negative_weights)
        for name in ("classifier_reco", "classifier_truth"):
            model = getattr(self, name)
            if model is not None and not hasattr(model, "predict_proba"):
                msg = (
                    f"{name}={model!r} has no predict_proba: take a probabilistic classifier, or "
                    "wrap it in sklearn.calibration.CalibratedClassifierCV"
                )
                raise ValueError(msg)
        for name, smallest in (("n_iterations", 1), ("n_bootstrap", 0)):
            value = getattr(self, name)
            integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if not integer or value < smallest:
                msg = f"{name} must be an integer of at least {smallest}, got {value!r}"
                raise ValueError(msg)
        if self.n_bootstrap == 1:
            msg = "n_bootstrap=1 gives no covariance: set 0, or at least 2"
            raise ValueError(msg)
        if self.n_splits is not None:
            check_n_splits(self.n_splits)
        if not isinstance(self.clip, numbers.Real) or not 0 <= float(self.clip) < 0.5:
            msg = f"clip must lie in [0, 0.5), got {self.clip!r}"
            raise ValueError(msg)

    def _check_keep(self) -> None:
        for model in self._classifiers():
            if not hasattr(last_model(model), "negative_weights"):
                msg = (
                    f"{type(last_model(model)).__name__} has no policy for negative weights, "
                    f"which negative_weights={self.negative_weights!r} leaves in training: take "
                    "'refine', or a classifier of skhep_ml"
                )
                raise ValueError(msg)

    def _warn_about_stopping(self, model: Any, n_events: int) -> None:
        stops = getattr(last_model(model), "early_stopping", False)
        if stops == "auto":
            stops = n_events > _AUTO_STOPPING
        if stops is True and fit_param_path(model, "groups") is None:
            msg = (
                f"{type(last_model(model)).__name__} stops early on rows held out at random, but "
                "every event enters the truth step twice: with its copies on both sides it stops "
                "too early; set early_stopping=False, or take a classifier with groups"
            )
            warnings.warn(msg, UserWarning, stacklevel=3)
        if splits_without_groups(model):
            msg = (
                f"{type(model).__name__} compares models on rows split at random, but every event "
                "enters the truth step twice: with its copies on both sides the smoothest model "
                "wins; give the search a splitter by groups, such as cv=EventNumberKFold(3)"
            )
            warnings.warn(msg, UserWarning, stacklevel=3)

    # --- results --------------------------------------------------------------------------------

    def predict_weights(
        self, truth: Any, sim_weight: ArrayLike | None = None, *, groups: Any = None
    ) -> NDArray[np.float64]:
        """Weights of other simulated events by their truth.

        Parameters
        ----------
        truth : array-like of shape (n_events, n_features), (n_events,) or (n_events, ...)
            True features inside the selection; a DataFrame's columns are used by name.
        sim_weight : array-like of shape (n_events,), default=None
            Their weights in simulation; None means 1.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Their identifiers: events of the fit then get the models that did not see them. None
            takes the mean of all models, for events that none of them saw.

        Returns
        -------
        ndarray of shape (n_events,)
            ``sim_weight`` times the ratio of the unfolded truth to simulation's. The normalisation
            is that of the fit: a sample k times as large sums to k times the data.

        Raises
        ------
        ValueError
            Columns other than in fit, wrong lengths, missing or infinite values, or identifiers for
            a model that was fitted without.
        """
        check_is_fitted(self)
        table, weight, fold = self._new_events(truth, sim_weight, groups)
        return weight * product_of_ratios(self.ratios_, table, fold)

    def replica_weights(
        self, truth: Any, sim_weight: ArrayLike | None = None, *, groups: Any = None
    ) -> NDArray[np.float64]:
        """Weights of other simulated events under every bootstrap replica.

        Parameters
        ----------
        truth : array-like of shape (n_events, n_features), (n_events,) or (n_events, ...)
            True features inside the selection.
        sim_weight : array-like of shape (n_events,), default=None
            Their weights in simulation; None means 1.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Their identifiers, as for `predict_weights`.

        Returns
        -------
        ndarray of shape (n_bootstrap, n_events)
            One set of weights a replica. These events are not resampled.

        Raises
        ------
        ValueError
            As for `predict_weights`, or no replicas.
        """
        check_is_fitted(self)
        if not self.replicas_:
            msg = "OmniFold was fitted without replicas: set n_bootstrap, such as 50"
            raise ValueError(msg)
        table, weight, fold = self._new_events(truth, sim_weight, groups)
        return np.stack(
            [weight * product_of_ratios(ratios, table, fold) for ratios in self.replicas_]
        )

    def histogram(self, values: ArrayLike, bins: ArrayLike) -> UnfoldedHistogram:
        """Histogram any true quantity of the simulated events under the unfolded weights.

        Parameters
        ----------
        values : array-like of shape (n_sim,)
            The quantity for each simulated event of the fit, among the features of the unfolding or
            not; ignored for events outside the truth selection.
        bins : int or array-like of shape (n_bins + 1,)
            Rising edges, or a number of bins over the range of the values. Values outside count
            nowhere.

        Returns
        -------
        UnfoldedHistogram
            Named tuple ``(counts, edges, covariance)`` with ``errors`` and ``correlation``.

        Raises
        ------
        ValueError
            A wrong number of values, values that are NaN inside the selection, or wrong bins.
        """
        check_is_fitted(self)
        array = np.asarray(values, dtype=np.float64)
        if array.shape != self.weights_.shape:
            msg = (
                f"values has shape {array.shape}, but OmniFold was fitted with "
                f"{len(self.weights_)} simulated events"
            )
            raise ValueError(msg)
        used = self.weights_ != 0
        bad = used & np.isnan(array)
        if bad.any():
            msg = (
                f"values is NaN in {bad.sum()} events inside the truth selection, first in event "
                f"{int(np.argmax(bad))}"
            )
            raise ValueError(msg)
        edges = np.histogram_bin_edges(array[used], check_edges(bins))
        counts = np.histogram(array[used], edges, weights=self.weights_[used])[0]
        covariance = None
        if len(self.replica_weights_):
            every = [
                np.histogram(array[used], edges, weights=w[used])[0] for w in self.replica_weights_
            ]
            covariance = np.atleast_2d(np.cov(np.array(every), rowvar=False))
        return UnfoldedHistogram(counts, edges, covariance)

    def summary(self) -> UnfoldingSummary:
        """Report how the iterations went.

        Returns
        -------
        UnfoldingSummary
            The numbers; a table when printed or shown in a notebook.
        """
        check_is_fitted(self)
        return self._summary

    def _new_events(
        self, truth: Any, sim_weight: ArrayLike | None, groups: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.intp] | None]:
        X = unmasked(align_columns(self, as_columns(truth)))
        if len(X.shape) == 2:
            validate_data(self, X, skip_check_array=True, reset=False)
        allow_nan = get_tags(self._classifiers()[1]).input_tags.allow_nan
        table = self._features(X, "truth", np.ones(len(X), dtype=bool), allow_nan)
        weight = weights_before(sim_weight, len(table), "sim_weight")
        fold = None
        if groups is not None:
            if not self.identified_:
                msg = (
                    "OmniFold was fitted without sim_groups, so it cannot tell which models saw "
                    "these events: leave groups out, or fit with identifiers"
                )
                raise ValueError(msg)
            if self.n_splits is not None:
                event = hashed_identifiers(groups, table, "groups")
                fold = event_fold(event, self.n_splits, _KIND, self.salt)
        return table, weight, fold
