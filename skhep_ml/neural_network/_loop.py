"""The loop over batches: one synchronisation an epoch, callbacks called where they listen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochScoring

from skhep_ml.neural_network._callbacks import BatchSchedule, WeightAverage
from skhep_ml.neural_network._dataset import first_output
from skhep_ml.neural_network._memory import begin_epoch, halve_batches

_STEPS = ("train_step", "train_step_single", "validation_step")
_BATCH_EVENTS = ("on_batch_begin", "on_grad_computed", "on_batch_end")


class LeanLoop(NeuralNet):
    """skorch's epoch without its work for every batch."""

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """One pass over the events, with one synchronisation at its end.

        skorch's own loop runs instead where something looks at single batches: a callback that
        reads their history, an optimizer with a closure, a subclass with its own step.
        """
        if iterator is None:
            return
        start = begin_epoch(self, iterator) if training else None
        n_batches = len(self.history[-1]["batches"])
        while True:
            reason = ""
            try:
                self._epoch(iterator, training, prefix, step_fn, fit_params)
            except torch.OutOfMemoryError as error:
                # nothing else of it: its frames hold the tensors
                reason = str(error) or "out of memory"
            if not reason:
                return
            del self.history[-1]["batches"][n_batches:]
            halve_batches(self, iterator, training, reason)
            if start is not None:
                start.restore(self)

    def _epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Any,
        fit_params: dict[str, Any],
    ) -> None:
        lean = self._lean()
        with nullcontext() if training else self._averaged_weights():
            if not lean:
                super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
                if not training and self._run is not None and self.eval_metric is not None:
                    self._record_metric([*self.forward_iter(self._run.valid)])
                return
            run_batches = self._train_epoch if training else self._valid_epoch
            losses, sizes = run_batches(iterator, fit_params)
        size = torch.tensor(sizes, dtype=torch.float64)
        loss = torch.stack(losses).double().cpu()
        if self.history[-1]["batches"] == []:
            self.history.new_batch()
        self.history.record_batch(f"{prefix}_loss", float(loss @ size / size.sum()))
        self.history.record_batch(f"{prefix}_batch_size", int(size.sum()))
        self.history.record(f"{prefix}_batch_count", len(sizes))
        if not training and self._run is not None and self.eval_metric is not None:
            self._record_metric(self._run.valid_output)

    def _record_metric(self, outputs: list[Any]) -> None:
        first = [first_output(output) for output in outputs]
        self.history.record("valid_metric", self._metric(torch.cat(first), self._run.valid))

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        """Skorch's step, with gradients cut to ``max_grad_norm``."""
        step = super().train_step_single(batch, **fit_params)
        if self.max_grad_norm:
            parameters = [p for _, p in self.get_all_learnable_params()]
            torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        return step

    def _lean(self) -> bool:
        own = all(getattr(type(self), name) is getattr(LeanLoop, name) for name in _STEPS)
        if not own or isinstance(self.optimizer_, torch.optim.LBFGS):
            return False
        return not any(
            _overrides(callback, name)
            for _, callback in self.callbacks_
            if not isinstance(callback, (EpochScoring, WeightAverage, BatchSchedule))
            for name in _BATCH_EVENTS
        )

    def _listeners(self, event: str) -> list[Any]:
        net_listens = getattr(type(self), event) is not getattr(NeuralNet, event)
        own = [getattr(self, event)] if net_listens else []
        return own + [getattr(c, event) for _, c in self.callbacks_ if _overrides(c, event)]

    def _train_epoch(self, iterator: Any, fit_params: dict[str, Any]) -> Any:
        self._set_training(True)
        optimizer, limit = self.optimizer_, self.max_grad_norm
        begin, computed, end = (self._listeners(event) for event in _BATCH_EVENTS)
        parameters = [p for _, p in self.get_all_learnable_params()] if limit else []
        losses, sizes = [], []
        for batch in iterator:
            Xi, yi = batch
            for listen in begin:
                listen(self, batch=batch, training=True)
            optimizer.zero_grad()
            y_pred = self.infer(Xi, **fit_params)
            loss = self.get_loss(y_pred, yi, X=Xi, training=True)
            loss.backward()
            if limit:
                torch.nn.utils.clip_grad_norm_(parameters, limit)
            for listen in computed:
                named = list(self.get_all_learnable_params())
                listen(self, named_parameters=named, batch=batch, training=True)
            optimizer.step()
            loss = loss.detach()
            losses.append(loss)
            sizes.append(len(yi))
            for listen in end:
                listen(self, batch=batch, training=True, loss=loss, y_pred=y_pred)
        return losses, sizes

    def _valid_epoch(self, iterator: Any, fit_params: dict[str, Any]) -> Any:
        self._set_training(False)
        begin, _, end = (self._listeners(event) for event in _BATCH_EVENTS)
        keep = self._run is not None and self.eval_metric is not None
        if keep:
            self._run.valid_output = []
        losses, sizes = [], []
        with torch.no_grad():
            for batch in iterator:
                Xi, yi = batch
                for listen in begin:
                    listen(self, batch=batch, training=False)
                y_pred = self.infer(Xi, **fit_params)
                loss = self.get_loss(y_pred, yi, X=Xi, training=False)
                losses.append(loss)
                sizes.append(len(yi))
                if keep:
                    self._run.valid_output.append(first_output(y_pred))
                for listen in end:
                    listen(self, batch=batch, training=False, loss=loss, y_pred=y_pred)
        return losses, sizes

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Put the moving average of the weights in their place, if there is one."""
        averages = [
            callback
            for _, callback in self.callbacks_
            if isinstance(callback, WeightAverage) and callback.average_ is not None
        ]
        for average in averages:
            average.swap()
        try:
            yield
        finally:
            for average in averages:
                average.swap()


def _overrides(callback: Any, event: str) -> bool:
    return getattr(type(callback), event) is not getattr(Callback, event)
