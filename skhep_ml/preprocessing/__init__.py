"""Scalers that weight, skip missing values, work in blocks and on chunks."""

from skhep_ml.preprocessing._auto import AutoScaler
from skhep_ml.preprocessing._linear import MinMaxScaler, ZScoreScaler
from skhep_ml.preprocessing._log import LogScaler

__all__ = ["AutoScaler", "LogScaler", "MinMaxScaler", "ZScoreScaler"]
