"""Checkpoints: what a killed fit needs to continue as if nothing had happened."""

from __future__ import annotations

import hashlib
import io
import numbers
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet

from skhep_ml._files import write_file
from skhep_ml.neural_network._prepare import Run

# parameters that do not change what a fit computes
_IRRELEVANT = {"checkpoint", "checkpoint_every", "verbose", "callbacks"}


class Resumable(NeuralNet):
    """Writes and reads checkpoints; nothing but tensors and numbers is unpickled."""

    def _fingerprint(self, run: Run) -> str:
        """Hash of parameters and data: a checkpoint continues the same fit or none."""
        params = {
            k: _text(v) for k, v in self.get_params(deep=False).items() if k not in _IRRELEVANT
        }
        digest = hashlib.sha256(repr(sorted(params.items())).encode())
        for dataset in (run.train, run.valid):
            for tensor in () if dataset is None else dataset.tensors():
                digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
                digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
        return digest.hexdigest()

    def _check_checkpoint(self) -> None:
        """Check, before any work, that checkpoints can be written and will be found again."""
        if self.checkpoint is None:
            return
        if not isinstance(self.random_state, numbers.Integral):
            msg = (
                f"checkpoint needs an integer random_state, got {self.random_state!r}: otherwise a "
                "second process would not repeat what the first one did"
            )
            raise ValueError(msg)
        path = Path(self.checkpoint)
        folder = path.parent
        if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            what = (
                "it is a folder itself"
                if path.is_dir()
                else f"there is no folder {str(folder)!r}"
                if not folder.is_dir()
                else f"the folder {str(folder)!r} is write-protected"
            )
            msg = f"checkpoint {str(path)!r} cannot be written, since {what}: name another file"
            raise ValueError(msg)

    def _load_checkpoint(self, run: Run, device: str) -> None:
        if self.checkpoint is None:
            return
        run.fingerprint = self._fingerprint(run)
        path = Path(self.checkpoint)
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            fingerprint = state["fingerprint"]
        except Exception as error:  # damaged files raise whatever their bytes lead to
            msg = (
                f"{str(path)!r} is no checkpoint, or a damaged one ({type(error).__name__}): "
                "remove it, or name another file"
            )
            raise ValueError(msg) from error
        if fingerprint != run.fingerprint:
            msg = (
                f"checkpoint {str(path)!r} belongs to a fit with other parameters or events: "
                "remove it, or name another file"
            )
            raise ValueError(msg)
        run.resumed = state

    def _resumed(self, key: str) -> Any:
        """Part of the checkpoint that this fit continues from; None without one."""
        return None if self._run is None else self._run.resumed.get(key)

    def _restores_best(self) -> bool:
        return bool(self.early_stopping)

    def _restore(self, run: Run) -> None:
        state = run.resumed
        self.module_.load_state_dict(state["module"])
        if isinstance(self.criterion_, torch.nn.Module):
            self.criterion_.load_state_dict(state["criterion"])
        self.optimizer_.load_state_dict(state["optimizer"])
        self.history_.extend(state["history"])
        run.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["rng"].cpu())
        if "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device_)

    def _save_checkpoint(self) -> None:
        run = self._run
        if run is None or not run.fingerprint:
            return  # more epochs after the fit that the file is about
        callbacks: dict[str, Any] = dict(self.callbacks_)
        state = {
            "fingerprint": run.fingerprint,
            "module": self.module_.state_dict(),
            "criterion": self.criterion_.state_dict(),
            "optimizer": self.optimizer_.state_dict(),
            "history": list(self.history),
            "generator": run.generator.get_state(),
            "rng": torch.get_rng_state(),
        }
        if self.device_.startswith("cuda"):
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device_)
        if "schedule" in callbacks:
            state["scheduler"] = callbacks["schedule"].scheduler_.state_dict()
        if "average" in callbacks:
            state["average"] = callbacks["average"].average_
            state["average_steps"] = callbacks["average"].steps_
        if "early_stopping" in callbacks:
            stopping = callbacks["early_stopping"]
            state["early_stopping"] = (stopping.best_, stopping.epoch_, stopping.state_)
        buffer = io.BytesIO()
        torch.save(_plain(state), buffer)
        write_file(self.checkpoint, buffer.getvalue())


def _plain(value: Any) -> Any:
    """The same without numpy's types, which a safe reader of files refuses."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _text(value: Any) -> str:
    """Value in words that are the same in every process."""
    name = getattr(value, "__qualname__", None)
    return repr(value) if name is None else f"{getattr(value, '__module__', '')}.{name}"
