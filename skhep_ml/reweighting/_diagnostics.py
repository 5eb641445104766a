"""How well weights turn one sample into another, and what that costs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhep_ml._extras import import_extra
from skhep_ml._format import number, p_value, with_error
from skhep_ml._identifiers import take_id_columns
from skhep_ml._text_table import html_table, text_table
from skhep_ml._two_sample import default_classifier, fit_two_samples, two_sample_folds
from skhep_ml._validation import check_event_weight
from skhep_ml.metrics import ks_2samp_weighted
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.reweighting._base import Samples, TwoSampleEstimator
from skhep_ml.weights._base import effective_sample_size


class BeforeAfter(NamedTuple):
    """A quantity of the original sample under its weights before and after.

    Attributes
    ----------
    before, after : float or ndarray of shape (n_features,)
        The two values.
    """

    before: Any
    after: Any


@dataclass(frozen=True, repr=False, eq=False)
class ReweightingReport:
    """Result of `reweighting_report`.

    Attributes
    ----------
    n_original, n_target : int
        Numbers of events.
    sum_weight : BeforeAfter
        Sum of the original's weights.
    target_sum_weight : float
        Sum of the target's weights.
    effective_size : BeforeAfter
        (sum w)^2 / sum w^2 of the original.
    target_effective_size : float
        The same of the target.
    max_weight : BeforeAfter
        Largest abs(w) of the original, in units of its mean abs(w).
    mean_ratio, mean_ratio_error : float
        Mean ratio under the weights before, which is the closure of the normalisation: 1 for
        weights that keep the original's sum; and its statistical error.
    auc, auc_error : BeforeAfter
        Area under the ROC curve of a classifier that was trained to tell original and target
        apart, on events that it did not see, and its statistical error; NaN if not asked for.
    feature_names : list of str
        Names of the features.
    ks : BeforeAfter
        Kolmogorov-Smirnov distance of each feature from the target.
    ks_pvalue : BeforeAfter
        Its p-value; NaN with negative weights.

    See Also
    --------
    reweighting_report : Makes it.
    skhep_ml.plotting.ReweightingDisplay : Picture of the features.
    """

    n_original: int
    n_target: int
    sum_weight: BeforeAfter
    target_sum_weight: float
    effective_size: BeforeAfter
    target_effective_size: float
    max_weight: BeforeAfter
    mean_ratio: float
    mean_ratio_error: float
    auc: BeforeAfter
    auc_error: BeforeAfter
    feature_names: list[str]
    ks: BeforeAfter
    ks_pvalue: BeforeAfter

    def to_pandas(self) -> Any:
        """Return the numbers as a table.

        Returns
        -------
        DataFrame
            One row a quantity, with columns ``before``, ``after`` and ``target``, NaN where one
            does not apply.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        pandas = import_extra("pandas", "root")
        nan = np.nan
        rows = {
            "events": (self.n_original, self.n_original, self.n_target),
            "sum of weights": (*self.sum_weight, self.target_sum_weight),
            "effective size": (*self.effective_size, self.target_effective_size),
            "largest weight / mean": (*self.max_weight, nan),
            "mean ratio": (nan, self.mean_ratio, nan),
            "mean ratio error": (nan, self.mean_ratio_error, nan),
            "AUC": (*self.auc, nan),
            "AUC error": (*self.auc_error, nan),
        }
        for name, *distance in zip(self.feature_names, *self.ks, strict=True):
            rows[f"KS {name}"] = (*distance, nan)
        for name, *pvalue in zip(self.feature_names, *self.ks_pvalue, strict=True):
            rows[f"KS p-value {name}"] = (*pvalue, nan)
        columns = ["before", "after", "target"]
        return pandas.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)

    def _lines(self) -> list[tuple[str, ...]]:
        """Rows of text: quantity, before, after, target."""
        rows: list[tuple[str, ...]] = [
            ("events", *(f"{n:,}" for n in (self.n_original, self.n_original, self.n_target))),
            ("sum of weights", *map(number, (*self.sum_weight, self.target_sum_weight))),
            ("effective size", *map(number, (*self.effective_size, self.target_effective_size))),
            ("largest weight / mean", *map(number, self.max_weight), ""),
            ("mean ratio", "", with_error(self.mean_ratio, self.mean_ratio_error), ""),
        ]
        if np.isfinite(self.auc.after):
            shown = map(with_error, self.auc, self.auc_error)
            rows.append(("classifier AUC", *shown, "0.5"))
        for k, name in enumerate(self.feature_names):
            cells = []
            for distance, pvalue in zip(self.ks, self.ks_pvalue, strict=True):
                p = f" (p {p_value(pvalue[k])})" if np.isfinite(pvalue[k]) else ""
                cells.append(f"{number(distance[k])}{p}")
            rows.append((f"KS distance {name}", *cells, ""))
        return rows

    def __repr__(self) -> str:
        """Text for the terminal."""
        return text_table(("", "before", "after", "target"), self._lines())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return html_table(("", "before", "after", "target"), self._lines())


class _Tables(TwoSampleEstimator):
    """The checks of two samples that reweighters make, without a model."""

    _allow_nan = True


def reweighting_report(
    reweighter: Any,
    original: Any,
    target: Any,
    original_weight: ArrayLike | None = None,
    target_weight: ArrayLike | None = None,
    *,
    groups: Any = None,
    target_groups: Any = None,
    auc: bool = True,
    estimator: Any = None,
    n_splits: int = 2,
    n_jobs: int | None = None,
    random_state: Any = 0,
) -> ReweightingReport:
    r"""Report how well weights turn one sample into another, and what that costs.

    Parameters
    ----------
    reweighter : reweighter or array-like of shape (n_original,)
        A fitted reweighter, or the weights after.
    original : array-like of shape (n_original, n_features) or (n_original,)
        Events that are reweighted. A reweighter that saw them follows their fluctuations: give
        events that were left out of its training, or a `RotatingReweighter`.
    target : array-like of shape (n_target, n_features) or (n_target,)
        Events to compare with. Columns of DataFrames are matched by name.
    original_weight : array-like of shape (n_original,), default=None
        Weights before, of any sign; None counts events.
    target_weight : array-like of shape (n_target,), default=None
        Weights of the target, of any sign; None counts events.
    groups : array-like of int, shape (n_original,) or (n_original, k), default=None
        Identifiers of the original's events, for a reweighter that predicts by them and for the
        folds of the classifier.
    target_groups : array-like of int, shape (n_target,) or (n_target, k), default=None
        Identifiers of the target's events, for the folds of the classifier.
    auc : bool, default=True
        Whether to train a classifier on both samples, before and after.
    estimator : classifier, default=None
        The classifier, which must take weights; None is a `BDTClassifier` that is stopped early.
    n_splits : int, default=2
        Folds of the classifier, which evaluates each event in the fold it was not trained on.
    n_jobs : int, default=None
        Threads of the default classifier; None takes all.
    random_state : int, RandomState instance or None, default=0
        Seed of the default classifier and of the error of the AUC.

    Returns
    -------
    ReweightingReport
        The numbers; a table when printed or shown in a notebook.

    Raises
    ------
    ValueError
        Columns that differ, infinite values, weights of wrong length or with a sum that is not
        positive, before or after.

    See Also
    --------
    skhep_ml.plotting.ReweightingDisplay : Picture of the features.

    Notes
    -----
    Agreement in every feature alone does not mean agreement; the classifier looks at all of them
    together. It is trained anew before and after, both samples weighted to equal sums, on all folds
    but one, and evaluated there by the signed weighted AUC; the mean over the folds is shown: 0.5
    means that it finds no difference. Where the weights were learned from these very samples,
    weights and classifier learn fluctuations of opposite folds, and the area comes out slightly
    below. Folds follow the identifiers, or else the content of events. The error of the area holds
    where the samples agree, and is an upper bound where they differ.

    A feature's Kolmogorov-Smirnov distance is over the events that have it (not NaN). Its p-value,
    for weights >= 0 only, takes weights as given numbers: weights fitted to this very target
    make it too large.

    The error of the mean ratio is :math:`\sqrt{\sum w^2 (r - \bar r)^2} / |\sum w|`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.reweighting import reweighting_report
    >>> rng = np.random.default_rng(0)
    >>> simulation, data = rng.normal(size=2000), rng.normal(0.2, size=2000)
    >>> weights = np.exp(0.2 * simulation - 0.02)
    >>> print(reweighting_report(weights, simulation, data, auc=False))
                                    before            after  target
    events                               2,000            2,000   2,000
    sum of weights                       2,000            1,989   2,000
    effective size                       2,000            1,922   2,000
    largest weight / mean                 1.00             1.82
    mean ratio                                  0.9943 ± 0.0045
    KS distance x0         0.0850 (p < 0.0001)  0.0186 (p 0.89)
    """
    check_n_splits(n_splits)
    known = getattr(reweighter, "id_columns", None)
    given = original
    if known is not None:
        original, groups = take_id_columns(original, known)
        target, target_groups = take_id_columns(target, known)
    checks = _Tables()
    samples = checks._check_samples(original, target, original_weight, target_weight)
    before = samples.w_original
    after = weights_after(reweighter, given, before, None if known is not None else groups)
    after = _positive_sum(check_event_weight(after, len(before), name="weights after"))
    names = getattr(checks, "feature_names_in_", None)
    if names is None:
        names = [f"x{k}" for k in range(samples.original.shape[1])]
    both = (samples, samples._replace(w_original=after))
    ks = [_distances(one) for one in both]
    areas = [(np.nan, np.nan)] * 2
    if auc:
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        tables = samples.original, samples.target
        if estimator is None:
            n_events = sum(map(len, tables))
            estimator = default_classifier(seed, n_jobs=n_jobs, n_events=n_events)
        fold = two_sample_folds(*tables, groups, target_groups, n_splits)
        options = {"estimator": estimator, "fold": fold, "n_splits": n_splits}
        fits = (fit_two_samples(*one[:4], **options) for one in both)
        areas = [fit.auc(fit.score(table), seed) for fit, table in fits]
    weights = [one.w_original for one in both]
    mean_ratio = float(after.sum() / before.sum())
    return ReweightingReport(
        n_original=len(samples.original),
        n_target=len(samples.target),
        sum_weight=BeforeAfter(*(float(w.sum()) for w in weights)),
        target_sum_weight=float(samples.w_target.sum()),
        effective_size=BeforeAfter(*map(effective_sample_size, weights)),
        target_effective_size=effective_sample_size(samples.w_target),
        max_weight=BeforeAfter(*(float(np.abs(w).max() / np.abs(w).mean()) for w in weights)),
        mean_ratio=mean_ratio,
        mean_ratio_error=float(np.linalg.norm(after - mean_ratio * before) / abs(before.sum())),
        auc=BeforeAfter(*(value for value, _ in areas)),
        auc_error=BeforeAfter(*(error for _, error in areas)),
        feature_names=[str(name) for name in names],
        ks=BeforeAfter(*(one[0] for one in ks)),
        ks_pvalue=BeforeAfter(*(one[1] for one in ks)),
    )


def weights_after(
    reweighter: Any, original: Any, weight: ArrayLike | None, groups: Any
) -> ArrayLike:
    """Weights from a reweighter, which gets the identifiers if it takes them, or as given."""
    if not hasattr(reweighter, "predict_weights"):
        if hasattr(reweighter, "get_params"):
            msg = (
                f"{type(reweighter).__name__} has no predict_weights: give a reweighter, or the "
                "weights after"
            )
            raise ValueError(msg)
        return reweighter
    takes = inspect.signature(reweighter.predict_weights).parameters
    metadata = {"groups": groups} if groups is not None and "groups" in takes else {}
    return reweighter.predict_weights(original, weight, **metadata)


def _positive_sum(weight: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if weight is None:
        msg = "reweighter is None: give a fitted reweighter, or the weights after"
        raise ValueError(msg)
    if not weight.sum() > 0:
        msg = (
            f"the weights after sum to {weight.sum():.6g}: a comparison needs a positive sum; "
            "they are wrong, or negative ones prevail where the target lies"
        )
        raise ValueError(msg)
    return weight


def _distances(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kolmogorov-Smirnov distance and p-value of every feature; NaN where one side has none."""
    out = np.full((2, samples.original.shape[1]), np.nan)
    signed = samples.w_original.min() < 0 or samples.w_target.min() < 0
    for k in range(out.shape[1]):
        first, second = ~np.isnan(samples.original[:, k]), ~np.isnan(samples.target[:, k])
        weights = samples.w_original[first], samples.w_target[second]
        if not all(weight.sum() > 0 for weight in weights):
            continue
        result = ks_2samp_weighted(
            samples.original[first, k],
            samples.target[second, k],
            weight1=weights[0],
            weight2=weights[1],
            n_permutations=0,
        )
        out[:, k] = result.statistic, np.nan if signed else result.pvalue
    return out[0], out[1]
