"""One transformer for each input of an Events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import Bunch, Tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skhep_ml._compat import routing_enabled
from skhep_ml._extras import import_extra
from skhep_ml._routing import fit_param_path
from skhep_ml.events import Events, is_awkward

_WORDS = ("passthrough", "drop")


def _concatenates(transformer: EventsTransformer) -> bool:
    return bool(transformer.concatenate)


class EventsTransformer(TransformerMixin, BaseEstimator):
    """Apply a transformer to each input of an `Events`.

    Parameters
    ----------
    transformers : dict of str to transformer, "passthrough" or "drop"
        What happens to each input, by its name.
    remainder : {"passthrough", "drop"}, default="passthrough"
        What happens to the inputs that ``transformers`` does not name.
    concatenate : bool, default=False
        Whether to join all results, which must be tables, into one table. Without it, the result is
        an `Events` again.

    Attributes
    ----------
    transformers_ : dict of str to transformer, "passthrough" or "drop"
        The fitted transformers, for every input of training, in its order.
    n_features_in_ : int
        Number of inputs.
    feature_names_in_ : ndarray of str
        Their names.

    See Also
    --------
    sklearn.compose.ColumnTransformer : The same for the columns of one table.

    Notes
    -----
    A transformer gets a one-dimensional input of numbers as a table of one column. Inputs that
    were not there in training are ignored.

    Parameters of a transformer are set by the name of its input: ``jets__max_particles``.
    With metadata routing each transformer gets the metadata that it requests; without it,
    ``sample_weight`` goes to those whose ``fit`` takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.events import Events
    >>> from skhep_ml.preprocessing import EventsTransformer, MinMaxScaler
    >>> events = Events(lepton=np.array([[20.0, 0.1], [60.0, -0.1]]), met=np.array([10.0, 30.0]))
    >>> scaler = EventsTransformer({"lepton": MinMaxScaler()}, concatenate=True)
    >>> scaler.fit_transform(events)
    array([[-1.,  1., 10.],
           [ 1., -1., 30.]])
    >>> scaler.get_feature_names_out().tolist()
    ['lepton__x0', 'lepton__x1', 'met']
    """

    def __init__(
        self,
        transformers: dict[str, Any],
        *,
        remainder: str = "passthrough",
        concatenate: bool = False,
    ) -> None:
        self.transformers = transformers
        self.remainder = remainder
        self.concatenate = concatenate

    def fit(self, X: Events | Mapping[str, Any], y: Any = None, **params: Any) -> Self:
        """Fit each transformer on its input.

        Parameters
        ----------
        X : Events or dict of arrays
            The inputs.
        y : array-like of shape (n_events,), default=None
            Passed to each transformer.
        **params : dict
            Metadata, such as ``sample_weight``.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            Unknown inputs, or clouds that are to be concatenated.
        TypeError
            X is no mapping of arrays, a transformer is none, or metadata that none takes.
        """
        events = self._check(X)
        routed = self._route("fit", params)
        fitted: dict[str, Any] = {}
        for name, step in self._steps(events).items():
            if step not in _WORDS:
                step = clone(step).fit(_input(events[name]), y, **routed[name].fit)
            fitted[name] = step
        self._remember(events, fitted)
        return self

    def fit_transform(
        self, X: Events | Mapping[str, Any], y: Any = None, **params: Any
    ) -> Events | NDArray[Any]:
        """Fit each transformer on its input and return what they make of it.

        Parameters
        ----------
        X : Events or dict of arrays
            The inputs.
        y : array-like of shape (n_events,), default=None
            Passed to each transformer.
        **params : dict
            Metadata, such as ``sample_weight``.

        Returns
        -------
        Events, or ndarray of shape (n_events, n_columns) with ``concatenate``
            Transformed inputs.

        Raises
        ------
        ValueError, TypeError
            As in `fit`.
        """
        events = self._check(X)
        routed = self._route("fit_transform", params)
        fitted: dict[str, Any] = {}
        out: dict[str, Any] = {}
        for name, step in self._steps(events).items():
            value = events[name]
            if step not in _WORDS:
                step, value = clone(step), _input(value)
                if hasattr(step, "fit_transform"):
                    value = step.fit_transform(value, y, **routed[name].fit_transform)
                else:
                    step.fit(value, y, **routed[name].fit)
                    value = step.transform(value, **routed[name].transform)
            fitted[name] = step
            if not _is(step, "drop"):
                out[name] = value
        self._remember(events, fitted)
        return self._join(out)

    def transform(self, X: Events | Mapping[str, Any], **params: Any) -> Events | NDArray[Any]:
        """Transform each input.

        Parameters
        ----------
        X : Events or dict of arrays
            The inputs of `fit`.
        **params : dict
            Metadata for the transformers' ``transform``, with metadata routing.

        Returns
        -------
        Events, or ndarray of shape (n_events, n_columns) with ``concatenate``
            Transformed inputs.

        Raises
        ------
        ValueError
            Inputs are missing, or clouds are to be concatenated.
        """
        check_is_fitted(self)
        events = X if isinstance(X, Events) else _as_events(X)
        kept = {name: step for name, step in self.transformers_.items() if not _is(step, "drop")}
        missing = [name for name in kept if name not in events]
        if missing:
            msg = f"X lacks the inputs {missing}: it has {events.names}"
            raise ValueError(msg)
        routed = self._route("transform", params)
        out = {}
        for name, step in kept.items():
            value = events[name]
            if _is(step, "passthrough"):
                if hasattr(value, "columns"):
                    value = value[self._columns[name]]
            else:
                value = step.transform(_input(value), **routed[name].transform)
            out[name] = value
        return self._join(out)

    @available_if(_concatenates)
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns of the one table.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            ``input__feature``, or ``input`` for a one-dimensional input.

        Raises
        ------
        AttributeError
            A transformer has no names for its output.
        """
        check_is_fitted(self)
        names: list[str] = []
        for name, step in self.transformers_.items():
            if _is(step, "drop"):
                continue
            if _is(step, "passthrough"):
                columns = self._columns[name]
            elif not hasattr(step, "get_feature_names_out"):
                # scikit-learn knows this wording and then does without names
                msg = f"{name!r}: {type(step).__name__} does not provide get_feature_names_out"
                raise AttributeError(msg)
            else:
                known = [name] if name in self._one_dimensional else None
                columns = step.get_feature_names_out(known)
            names += [name if column == name else f"{name}__{column}" for column in columns]
        return np.array(names, dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Set the container of tables.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Container of the one table, or of each transformer's table in the `Events`; clouds stay
            arrays. None changes nothing.

        Returns
        -------
        self : object
            This transformer.
        """
        if self.concatenate:
            return super().set_output(transform=transform)
        steps = [*self.transformers.values(), *getattr(self, "transformers_", {}).values()]
        for step in steps:
            if hasattr(step, "set_output"):
                step.set_output(transform=transform)
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, also those of the transformers.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the transformers by the names of their inputs, and their parameters.

        Returns
        -------
        dict
            Names and values.
        """
        params = super().get_params(deep=False)
        if deep and isinstance(self.transformers, Mapping):
            for name, step in self.transformers.items():
                params[name] = step
                if hasattr(step, "get_params") and not isinstance(step, type):
                    nested = step.get_params(deep=True)
                    params.update({f"{name}__{key}": value for key, value in nested.items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of the transformers.

        Parameters
        ----------
        **params : dict
            Own parameters, whole transformers by the name of their input, or
            ``input__parameter``.

        Returns
        -------
        self : object
            This transformer.
        """
        if "transformers" in params:
            self.transformers = params.pop("transformers")
        if isinstance(self.transformers, Mapping):
            whole = {name: params.pop(name) for name in self.transformers if name in params}
            if whole:
                self.transformers = {**self.transformers, **whole}
        return super().set_params(**params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata is routed to the transformers.

        Returns
        -------
        MetadataRouter
            Requests of the transformers.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        for name, step in self.transformers.items():
            if step in _WORDS:
                continue
            mapping = MethodMapping().add(caller="fit", callee="fit")
            if hasattr(step, "fit_transform"):
                mapping.add(caller="fit_transform", callee="fit_transform")
            else:
                mapping.add(caller="fit_transform", callee="fit")
                mapping.add(caller="fit_transform", callee="transform")
            mapping.add(caller="transform", callee="transform")
            router.add(method_mapping=mapping, **{name: step})
        return router

    def _check(self, X: Any) -> Events:
        """Check the parameters and the input of fit."""
        if not isinstance(self.transformers, Mapping):
            msg = (
                "transformers must be a dict of input names to transformers, got "
                f"{self.transformers!r}"
            )
            raise TypeError(msg)
        if self.remainder not in _WORDS:
            msg = f"remainder={self.remainder!r} must be one of {_WORDS}"
            raise ValueError(msg)
        own = super().get_params(deep=False)
        for name, step in self.transformers.items():
            if "__" in name or name in own:
                msg = f"the input name {name!r} collides with the names of parameters: rename it"
                raise ValueError(msg)
            usable = hasattr(step, "fit") and hasattr(step, "transform")
            if isinstance(step, type) or not (step in _WORDS or usable):
                msg = f"transformers[{name!r}]={step!r} must be a transformer or one of {_WORDS}"
                raise TypeError(msg)
        events = X if isinstance(X, Events) else _as_events(X)
        unknown = [name for name in self.transformers if name not in events]
        if unknown:
            msg = f"X has no input {', '.join(map(repr, unknown))}: its inputs are {events.names}"
            raise ValueError(msg)
        if self.concatenate:
            for name, step in self._steps(events).items():
                if _is(step, "passthrough"):
                    _table(name, events[name])
        return events

    def _steps(self, events: Events) -> dict[str, Any]:
        return {name: self.transformers.get(name, self.remainder) for name in events}

    def _route(self, method: str, params: dict[str, Any]) -> Any:
        """Metadata for each method of each transformer."""
        if routing_enabled():
            return process_routing(self, method, **params)
        unknown = sorted(params.keys() - ({"sample_weight"} if method != "transform" else set()))
        if unknown:
            msg = f"{method} got {unknown}, which need metadata routing to reach a transformer"
            raise TypeError(msg)
        weight = params.get("sample_weight")
        routed = Bunch()
        for name, step in self.transformers.items():
            takes = weight is not None and step not in _WORDS
            path = fit_param_path(step, "sample_weight") if takes else None
            fit = {} if path is None else {path: weight}
            routed[name] = Bunch(fit=fit, fit_transform=fit, transform={})
        return routed

    def _remember(self, events: Events, fitted: dict[str, Any]) -> None:
        self.transformers_ = fitted
        self.n_features_in_ = len(events.names)
        self.feature_names_in_ = np.array(events.names, dtype=object)
        self._one_dimensional = {name for name in events if _numbers(events[name]) is not None}
        self._columns = {
            name: self._column_names(name, events[name])
            for name, step in fitted.items()
            if _is(step, "passthrough")
        }

    def _column_names(self, name: str, value: Any) -> list[str]:
        """Names of the columns of an input that passes through; none for what is no table."""
        if name in self._one_dimensional:
            return [name]
        if hasattr(value, "columns"):
            return list(value.columns)
        shape: tuple[int, ...] = getattr(value, "shape", ())
        return [f"x{index}" for index in range(shape[1])] if len(shape) == 2 else []

    def _join(self, out: dict[str, Any]) -> Events | NDArray[Any]:
        if not out:
            msg = "every input is dropped: nothing is left"
            raise ValueError(msg)
        if not self.concatenate:
            return Events(out)
        return np.concatenate([_table(name, value) for name, value in out.items()], axis=1)

    def __sklearn_tags__(self) -> Tags:
        """Inputs are Events, no tables; the transformers check them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _is(step: Any, word: str) -> bool:
    return isinstance(step, str) and step == word


def _as_events(X: Any) -> Events:
    if not isinstance(X, Mapping):
        msg = (
            "EventsTransformer takes Events or a dict of arrays, got "
            f"{type(X).__name__}: name the inputs, as in Events(jets=array)"
        )
        raise TypeError(msg)
    return Events(X)


def _numbers(value: Any) -> NDArray[Any] | None:
    """One-dimensional numbers as an ndarray; None for everything else."""
    if is_awkward(value):
        if value.fields or value.ndim != 1:
            return None
        ak = import_extra("awkward", "root")
        value = ak.to_numpy(ak.fill_none(value, np.nan))
    if len(getattr(value, "shape", ())) != 1:
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "fiub" else None


def _input(value: Any) -> Any:
    """What a transformer gets: one-dimensional numbers become a table of one column."""
    numbers = _numbers(value)
    return value if numbers is None else numbers[:, None]


def _table(name: str, value: Any) -> NDArray[Any]:
    """The value as a two-dimensional array of numbers."""
    table = _input(value)
    if hasattr(table, "toarray"):
        table = table.toarray()
    if is_awkward(table) or len(getattr(table, "shape", ())) != 2:
        kind = table.type if is_awkward(table) else f"shape {np.shape(table)}"
        msg = (
            f"input {name!r} is no table ({kind}) and cannot be concatenated: make it one, for "
            "example with CloudToTable, or drop it"
        )
        raise ValueError(msg)
    array = np.asarray(table)
    if array.dtype.kind not in "fiub":
        msg = f"input {name!r} holds {array.dtype}, but the table takes numbers: drop or encode it"
        raise ValueError(msg)
    return array
