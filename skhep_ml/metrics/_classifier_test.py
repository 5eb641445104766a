"""Classifier two-sample test: the area that a classifier finds between two samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from skhep_ml._validation import check_event_id
from skhep_ml.metrics._samples import check_samples

#: Events of each sample for each fold: fewer would leave folds, or early stopping, without any.
_LEAST_IN_FOLD = 10


def two_sample_auc(
    X1: Any,
    X2: Any,
    *,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    groups1: Any = None,
    groups2: Any = None,
    estimator: Any = None,
    n_splits: int = 2,
    n_jobs: int | None = None,
    return_std: bool = False,
    random_state: Any = 0,
) -> Any:
    r"""Area under the ROC curve of classifiers that tell two samples apart, on unseen events.

    0.5 means that the classifier finds no difference in any feature or correlation.

    Parameters
    ----------
    X1, X2 : array-like of shape (n_events, n_features) or (n_events,), DataFrame, cloud or image
        Two samples; also `Events` or a dict of such arrays. Columns of DataFrames are matched by
        name. Missing values (NaN) are for the classifier, and the default one takes them.
    weight1, weight2 : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events. Their sums do not matter.
    groups1, groups2 : array-like of int, default=None
        Event identifiers, of shape (n_events,) or (n_events, k): entries of one event share a fold,
        also across the samples. Give both where events of the samples belong together, such as an
        event and one generated under its conditions. Without any, folds follow the content.
    estimator : classifier, default=None
        The classifier, which must take weights if there are any; None is a `BDTClassifier` of up to
        500 trees that is stopped early.
    n_splits : int, default=2
        Folds; the classifier of each is trained on all others.
    n_jobs : int, default=None
        Threads of the default classifier; None takes all.
    return_std : bool, default=False
        Also return the statistical error.
    random_state : int, RandomState instance or None, default=0
        Seed of the default classifier and of the error.

    Returns
    -------
    auc : float
        The mean area over the folds.
    std : float
        Its statistical error, when ``return_std``: the bootstrap errors of the folds added, times
        :math:`\sqrt2` because models learn the fluctuations of each other's test events.

    Raises
    ------
    ValueError
        Different features, too few folds or events, or weights of wrong length or without a
        positive sum.

    See Also
    --------
    skhep_ml.inspection.shift_test : Also says which features differ, with a p-value.

    Notes
    -----
    Clouds and images are compared by features of the event. Of a cloud: the number of particles,
    and mean, standard deviation and maximum of every feature over the particles. Of an image: sum,
    centre and width of every channel. For a classifier that looks at all of it, such as a network,
    flatten the images, or pass what it should see as a table.

    References
    ----------
    D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, arXiv:1610.06545; C. Krause, D.
    Shih, CaloFlow, arXiv:2106.05285, for surrogates of a simulation.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.metrics import two_sample_auc
    >>> rng = np.random.default_rng(0)
    >>> X, same, shifted = rng.normal(size=(3, 2000, 3)) + np.array([0, 0, 0.3])[:, None, None]
    >>> auc, std = two_sample_auc(X, same, estimator=LogisticRegression(), return_std=True)
    >>> bool(abs(auc - 0.5) < 3 * std)
    True
    >>> bool(two_sample_auc(X, shifted, estimator=LogisticRegression()) > 0.6)
    True
    """
    # classifiers know the metrics: they are loaded when they are needed
    from skhep_ml._two_sample import default_classifier, fit_two_samples, two_sample_folds
    from skhep_ml.model_selection._split import check_n_splits

    n_splits = check_n_splits(n_splits)
    samples = check_samples(X1, X2, weight1, weight2, allow_missing=True)
    first, second = samples.first, samples.second
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    if (groups1 is None) != (groups2 is None):
        msg = "give both groups1 and groups2, or none of them"
        raise ValueError(msg)
    for number, (groups, table) in enumerate(((groups1, first), (groups2, second)), start=1):
        if groups is not None:
            check_event_id(groups, len(table))
        if len(table) < _LEAST_IN_FOLD * n_splits:
            msg = (
                f"X{number} holds {len(table)} events, {_LEAST_IN_FOLD * n_splits} are needed for "
                f"n_splits={n_splits} classifiers: draw more events"
            )
            raise ValueError(msg)
    if estimator is None:
        estimator = default_classifier(seed, n_jobs=n_jobs, n_events=len(first) + len(second))
    if not hasattr(estimator, "predict_proba"):
        msg = f"estimator={estimator!r} has no predict_proba: take a probabilistic classifier"
        raise ValueError(msg)
    fit, both = fit_two_samples(
        first,
        second,
        samples.weight1,
        samples.weight2,
        estimator=estimator,
        fold=two_sample_folds(first, second, groups1, groups2, n_splits),
        n_splits=n_splits,
    )
    score = fit.score(both)
    return fit.auc(score, seed) if return_std else float(np.mean(fit.fold_areas(score)))
