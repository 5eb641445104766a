"""What the demo adds to the numbers of its report."""

from typing import Any

from sklearn.pipeline import Pipeline

from skhep_ml._demo._sample import Sample
from skhep_ml.metrics import effective_sample_size


def truth_table(sample: Sample) -> dict[str, Any]:
    """Yield and effective size of every process with its unsigned weights."""
    rows = {}
    for name in sample.processes():
        truth = sample.truth[sample.process == name]
        rows[name] = {"sum": float(truth.sum()), "effective": effective_sample_size(truth)}
    return rows


def scaling_table(model: Pipeline, names: list[str]) -> list[dict[str, str]]:
    """What AutoScaler chose for every feature, and why."""
    scaler = model.named_steps["autoscaler"]
    return [
        {"feature": name, "method": method, "reason": reason}
        for name, method, reason in zip(
            names, scaler.methods_.values(), scaler.reasons_.values(), strict=True
        )
    ]
