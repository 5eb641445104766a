"""Models into files and other formats."""

from skhep_ml.export._native import to_xgboost_json
from skhep_ml.export._onnx import to_onnx
from skhep_ml.export._persist import load, read_manifest, save
from skhep_ml.export._verify import OnnxComparison, verify_onnx

__all__ = [
    "OnnxComparison",
    "load",
    "read_manifest",
    "save",
    "to_onnx",
    "to_xgboost_json",
    "verify_onnx",
]
