"""What systematic variations do to a model's performance, yields and templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhep_ml._validation import check_edges
from skhep_ml.inspection._scored import (
    EventScores,
    event_keys,
    match_events,
    present_keys,
    scored_events,
    with_processes,
)
from skhep_ml.inspection._systematics_result import (
    SystematicsResult,
    Variation,
    VariedSide,
    findings_of,
)
from skhep_ml.inspection._templates import (
    Performance,
    Sums,
    relative_shift,
    replicas,
    sums_with_shifts,
)
from skhep_ml.inspection._varied import (
    NominalEvents,
    nominal_events,
    sides_of,
    varied_events,
)
from skhep_ml.metrics import effective_sample_size, optimize_binning

Array = NDArray[np.float64]
# relative differences below this are rounding
_ROUNDING = 1e-12
Table = Callable[[Any], Any]


def evaluate_systematics(
    model: Any,
    nominal: Any,
    variations: Mapping[str, Any],
    *,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    groups: Any = None,
    process: ArrayLike | None = None,
    derive: Table | None = None,
    selection: Table | None = None,
    symmetrize: bool | Sequence[str] = False,
    bins: int | ArrayLike = 10,
    signal_efficiency: float | Sequence[float] = 0.5,
    background_uncertainty: float = 0.0,
    class_yields: Mapping[Any, float] | None = None,
    pos_label: Any = None,
    n_replicas: int = 100,
    random_state: Any = 0,
) -> SystematicsResult:
    r"""Evaluate what systematic variations do to a model's performance, yields and templates.

    Parameters
    ----------
    model : classifier
        Fitted classifier, Pipeline or search. A rotating model predicts each event, nominal and
        varied, by the fold of its identifier.
    nominal : Bunch or table
        Nominal events: a mapping with ``data``, ``target``, ``weight``, ``event_number`` and
        ``process`` as the datasets give, or the features alone. Keywords come before what the
        mapping holds.
    variations : mapping of str to variation
        A pair ``(up, down)``, or one thing for a one-sided variation. Each is one of

        - a function that is given a copy of the nominal table (before ``derive``) and returns it
          varied;
        - a table of the same events in the same order;
        - an array of shape (n_events,): the weights under the variation, in place of the nominal
          ones (not factors on them);
        - a mapping with ``data`` and ``weight``, or one of them, of the same events;
        - a mapping with ``data``, ``weight``, ``event_number`` and ``process`` of events of its
          own, which may be fewer or more. Processes that it does not hold stay nominal.
    y : array-like of shape (n_events,), default=None
        Classes of the nominal events.
    sample_weight : array-like of shape (n_events,), default=None
        Weights, of any sign; None counts events.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers; process and identifier together match varied to nominal events. None
        takes every row as an event.
    process : array-like of shape (n_events,), default=None
        Process of each event; None takes the classes. All events of a process have one class.
    derive : callable, default=None
        Given a table, returns it with the derived columns computed anew. It is applied to the
        nominal table too, and should not change that one.
    selection : callable, default=None
        Given a table (after ``derive``), returns a boolean mask. It is applied to the nominal and
        to every varied table, so that events may enter and leave.
    symmetrize : bool or sequence of str, default=False
        One-sided variations whose other side is mirrored at the nominal template; True takes all.
    bins : int or array-like of shape (n_bins + 1,), default=10
        Edges of the score's bins, or the greatest number of bins of
        `skhep_ml.metrics.optimize_binning` on the nominal events. Scores outside count in the
        outermost bins.
    signal_efficiency : float or sequence of float, default=0.5
        Signal efficiencies of the rejections.
    background_uncertainty : float, default=0.0
        Relative uncertainty of the background in the expected significance.
    class_yields : mapping of label to float, default=None
        Expected yield of each class before the selection; all weights of a class, varied ones too,
        are multiplied by what scales its nominal events to it. None takes the weights as they are.
    pos_label : label, default=None
        The signal class; None takes the second of the model's two classes. All others are
        background.
    n_replicas : int, default=100
        Bootstrap replicas behind the errors of AUC, rejection and significance; 0 leaves them out.
    random_state : int, RandomState instance or None, default=0
        Seed of the replicas.

    Returns
    -------
    SystematicsResult
        Numbers, templates and findings; a table when printed or shown in a notebook, with the
        methods ``to_pandas``, ``to_pyhf`` and ``plot``.

    Raises
    ------
    ValueError
        A variation with other columns or another number of rows, processes or identifier columns
        that the nominal sample does not have, a process of two classes, or an empty selection.

    Warns
    -----
    SystematicsWarning
        Weights of a variation that look like factors; a ``derive`` that changes nominal columns.

    See Also
    --------
    skhep_ml.plotting.SystematicsDisplay : Picture of the variations.
    skhep_ml.metrics.bootstrap : Correlated errors of other metrics.

    Notes
    -----
    An event k adds :math:`n_k` to a nominal and :math:`v_k` to a varied bin, 0 where it is not
    there, not selected or elsewhere. Nominal and varied samples share their events, so that the
    variance of a shift is

    .. math:: \sigma^2\Big(\sum_k v_k - \sum_k n_k\Big) = \sum_k (v_k - n_k)^2

    and the covariance of two shifts the sum of the products. Events without partner fluctuate
    alone. Errors of other numbers are those of replicas in which each event counts a Poisson number
    of times, the same in all samples; a shift is taken within each replica. They are half the
    central 68.27% interval, since a rejection of a few events has a long tail. Relative changes of
    yields have the error of a ratio, :math:`\sum_k (v_k - r n_k)^2 / N^2` with r = V / N.

    The significance is that of all bins together, :math:`Z^2 = \sum_b Z_b^2`, with the Asimov
    formula for a background known to :math:`\sqrt{\sum w^2 + (f b)^2}`; bins without a positive
    background do not count. Rejections are at the same signal efficiency, not at the same cut; the
    background efficiency counts as at least one over the effective number of nominal background
    events.

    References
    ----------
    R. Barlow, Systematic errors: facts and fictions, arXiv:hep-ex/0207026.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.inspection import evaluate_systematics
    >>> events = make_signed_events(5000, random_state=0)
    >>> model = LogisticRegression().fit(events.data, events.target)
    >>> result = evaluate_systematics(
    ...     model,
    ...     events,
    ...     {
    ...         "scale": (lambda X: 1.05 * X, lambda X: 0.95 * X),
    ...         "weight": events.weight * np.where(events.target == 0, 1.1, 1.0),
    ...     },
    ...     bins=[0.0, 0.5, 1.0],
    ... )
    >>> change = result.variations["weight"].up.changes
    >>> round(change["background"] / result.numbers["background"], 6), abs(change["AUC"]) < 1e-12
    (0.1, True)
    >>> background = result.to_pyhf()["channels"][0]["samples"][0]
    >>> [(modifier["name"], modifier["type"]) for modifier in background["modifiers"]]
    [('scale', 'histosys'), ('weight', 'normsys'), ('staterror_score', 'staterror')]
    """
    if not isinstance(variations, Mapping) or not variations:
        msg = f"variations must map names to variations and not be empty, got {variations!r}"
        raise ValueError(msg)
    efficiencies = np.atleast_1d(np.asarray(signal_efficiency, dtype=np.float64))
    if not np.all((efficiencies > 0) & (efficiencies <= 1)):
        msg = f"signal_efficiency must lie in (0, 1], got {signal_efficiency}"
        raise ValueError(msg)
    if background_uncertainty < 0 or n_replicas < 0 or n_replicas == 1:
        msg = (
            "background_uncertainty must not be negative and n_replicas be 0 or at least 2, got "
            f"{background_uncertainty} and {n_replicas}"
        )
        raise ValueError(msg)
    edges = check_edges(bins)
    mirrored = _mirrored(symmetrize, variations)
    events = nominal_events(nominal, y, sample_weight, groups, process, derive)
    labels = _class_of_process(events)
    factor = _yield_factors(events, labels, class_yields)
    original = nominal["data"] if isinstance(nominal, Mapping) else nominal
    scores = EventScores(model, selection, pos_label)
    selected = scores(events.X, events.event_id, "the nominal sample")
    signal = np.array([label == scores.pos_label for label in labels])
    if signal.all() or not signal.any():
        msg = (
            f"the processes {events.names} have the classes {labels}: the signal "
            f"{scores.pos_label!r} and a background are both needed"
        )
        raise ValueError(msg)
    sides = {}
    for name, value in variations.items():
        for part, which in zip(sides_of(value), ("up", "down"), strict=False):
            what = f"variation {name!r} {which}"
            side = varied_events(part, events, original, derive, what)
            varied = selected
            if side.X is not None:
                event_id = events.event_id if side.event_id is None else side.event_id
                varied = scores(side.X, event_id, what)
            # one varied table in memory at a time
            sides[name, which] = side._replace(X=None), varied
    keys, n_keys = event_keys(events, [side for side, _ in sides.values()])
    if isinstance(edges, int):
        rows, score = selected
        edges = optimize_binning(
            signal[events.process[rows]],
            score,
            max_bins=edges,
            sample_weight=(events.weight * factor[events.process])[rows],
            background_uncertainty=background_uncertainty,
        ).edges
    samples = [scored_events(events, *selected, keys[0], factor, edges)]
    matchings = []
    for (side, varied), key in zip(sides.values(), keys[1:], strict=True):
        sample = scored_events(side, *varied, key, factor, edges)
        kept = np.zeros(len(events.names), dtype=bool)
        if side.event_id is not None:
            kept[:] = True
            kept[side.process] = False
            sample = with_processes(sample, samples[0], kept)
            key = np.concatenate([key, keys[0][kept[events.process]]])
        kept_names = [events.names[k] for k in np.flatnonzero(kept)]
        present = [present_keys(one, n_keys) for one in (keys[0], key, samples[0].key, sample.key)]
        matchings.append(match_events(present, kept_names))
        samples.append(sample)

    background = samples[0].weight[~signal[samples[0].process]]
    options: dict[str, Any] = {
        "signal_efficiency": efficiencies,
        "smallest": 1 / max(effective_sample_size(background), 1.0),
        "background_uncertainty": background_uncertainty,
    }
    n_bins = len(edges) - 1
    performances = [Performance(sample, signal, n_bins, **options) for sample in samples]
    names = ["AUC", *(f"rejection at {100 * one:g}%" for one in efficiencies), "significance"]
    values = np.array([one() for one in performances])
    drawn = np.full((2, *values.shape), np.nan)
    if n_replicas:
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        drawn = replicas(performances, n_keys, n_replicas, seed)
    changes = _shifts(values, values[0]), _spread(_shifts(drawn, drawn[:, :1]))

    cells = [sample.process * n_bins + sample.bin for sample in samples]
    classes = [signal[sample.process].astype(np.intp) for sample in samples]
    shape = len(events.names), n_bins
    content = sums_with_shifts(samples[:1], cells[:1], shape[0] * shape[1])
    total = sums_with_shifts(samples[:1], classes[:1], 2)
    result = SystematicsResult(
        edges=edges,
        processes=events.names,
        signal=signal,
        values=content.values[0].reshape(shape),
        sumw2=content.sumw2[0].reshape(shape),
        numbers=_named(names, total.values[0], values[0]),
        numbers_std=_named(names, np.sqrt(total.sumw2[0]), _spread(drawn[:, 0])),
        variations={},
        findings=[],
    )
    of_side = {where: k for k, where in enumerate(sides, start=1)}
    for name in variations:
        index = [k for where, k in of_side.items() if where[0] == name]
        used = [0, *index]
        templates, yields = (
            sums_with_shifts([samples[k] for k in used], [place[k] for k in used], n_cells)
            for place, n_cells in ((cells, shape[0] * shape[1]), (classes, 2))
        )
        found = []
        for k, one in enumerate(index):
            numbers = _named(names, yields.values[k + 1], values[one])
            shift = yields.values[k + 1] - yields.values[0]
            found.append(
                VariedSide(
                    templates.values[k + 1].reshape(shape),
                    templates.sumw2[k + 1].reshape(shape),
                    templates.shift_sumw2[k].reshape(shape),
                    numbers,
                    _named(names, shift, changes[0][one]),
                    _named(names, np.sqrt(yields.shift_sumw2[k]), changes[1][one]),
                    _relative_yields(yields, k),
                    matchings[one - 1],
                )
            )
        covariance = None if templates.covariance is None else templates.covariance.reshape(shape)
        result.variations[name] = _variation(found, covariance, result, name in mirrored)
    return replace(result, findings=findings_of(result))


def _mirrored(symmetrize: bool | Sequence[str], variations: Mapping[str, Any]) -> list[str]:
    """Names of the variations to symmetrise, all of them one-sided."""
    one_sided = [name for name, value in variations.items() if len(sides_of(value)) == 1]
    if isinstance(symmetrize, (bool, np.bool_)):
        return one_sided if symmetrize else []
    names = [symmetrize] if isinstance(symmetrize, str) else list(symmetrize)
    wrong = [name for name in names if name not in one_sided]
    if wrong:
        msg = f"symmetrize names {wrong}, the one-sided variations are {one_sided}"
        raise ValueError(msg)
    return names


def _class_of_process(events: NominalEvents) -> list[Any]:
    """The one class of each process."""
    labels = []
    for k, name in enumerate(events.names):
        found = np.unique(events.label[events.process == k]).tolist()
        if len(found) > 1:
            msg = (
                f"process {name!r} has events of the classes {found}: templates need one class for "
                "each process; split it into two"
            )
            raise ValueError(msg)
        labels.append(found[0])
    return labels


def _yield_factors(
    events: NominalEvents, labels: list[Any], class_yields: Mapping[Any, float] | None
) -> Array:
    """Factor on the weights of each process."""
    if class_yields is None:
        return np.ones(len(labels))
    if set(class_yields) != set(labels):
        msg = f"class_yields has {list(class_yields)}, the classes are {sorted(set(labels))}"
        raise ValueError(msg)
    factors = {}
    for label, expected in class_yields.items():
        total = events.weight[events.label == label].sum()
        if not (expected > 0 and np.isfinite(expected) and total > 0):
            msg = (
                f"class_yields[{label!r}]={expected} and the sum of the nominal weights, "
                f"{total:.6g}, must both be positive"
            )
            raise ValueError(msg)
        factors[label] = expected / total
    return np.array([factors[label] for label in labels])


def _shifts(values: Array, nominal: Array) -> Array:
    """Differences from nominal; those by rounding alone are none."""
    shift = values - nominal
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(shift) < _ROUNDING * np.abs(nominal), 0.0, shift)


def _spread(drawn: Array) -> Array:
    """Half the central 68.27% interval over replicas, of those that are defined."""
    out = np.full(drawn.shape[1:], np.nan)
    defined = (~np.isnan(drawn)).sum(axis=0) > 1
    if defined.any():
        low, high = np.nanquantile(drawn[:, defined], [0.15865, 0.84135], axis=0)
        out[defined] = (high - low) / 2
    return out


def _named(names: list[str], yields: Array, numbers: Array) -> dict[str, float]:
    """Numbers by name; ``yields`` are background and signal."""
    background, signal = yields.tolist()
    rest = dict(zip(names, numbers.tolist(), strict=True))
    return {"signal": signal, "background": background, **rest}


def _relative_yields(yields: Sums, k: int) -> dict[str, tuple[float, float]]:
    """Relative changes of the k-th varied sample, with errors."""
    change, std = relative_shift(
        yields.values[k + 1],
        yields.values[0],
        yields.sumw2[k + 1],
        yields.sumw2[0],
        yields.shift_sumw2[k],
    )
    pairs = list(zip(change.tolist(), std.tolist(), strict=True))
    return {"signal": pairs[1], "background": pairs[0]}


def _variation(
    sides: list[VariedSide], covariance: Array | None, nominal: SystematicsResult, mirror: bool
) -> Variation:
    up = sides[0]
    nothing = np.full(nominal.values.shape, np.nan)
    if covariance is not None:
        down = sides[1]
        product = np.sqrt(up.shift_sumw2 * down.shift_sumw2)
        correlation = np.divide(covariance, product, out=nothing, where=product > 0)
        shifts = [side.values - nominal.values for side in sides]
        size = np.linalg.norm(shifts[0]) * np.linalg.norm(shifts[1])
        direction = float(np.sum(shifts[0] * shifts[1]) / size) if size > 0 else np.nan
        return Variation(up, down, "two-sided", correlation, direction)
    if not mirror:
        return Variation(up, None, "one-sided", nothing, np.nan)
    down = up._replace(
        values=2 * nominal.values - up.values,
        # the variance of sum(2 n - v), event by event
        sumw2=2 * nominal.sumw2 - up.sumw2 + 2 * up.shift_sumw2,
        numbers={name: nominal.numbers[name] - change for name, change in up.changes.items()},
        changes={name: 0.0 - change for name, change in up.changes.items()},
        relative={name: (0.0 - change, std) for name, (change, std) in up.relative.items()},
    )
    correlation = np.where(up.shift_sumw2 > 0, -1.0, np.nan)
    return Variation(up, down, "symmetrised", correlation, -1.0)
