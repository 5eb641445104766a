"""Scalers, clouds from jagged arrays, tables and images from clouds, kinematics."""

from skhep_ml.preprocessing._auto import AutoScaler
from skhep_ml.preprocessing._clip import QuantileClipper
from skhep_ml.preprocessing._cloud_image import CloudToImage
from skhep_ml.preprocessing._cloud_kinematics import KinematicsTransformer
from skhep_ml.preprocessing._cloud_table import CloudToTable
from skhep_ml.preprocessing._events import EventsTransformer
from skhep_ml.preprocessing._jagged import JaggedToPadded
from skhep_ml.preprocessing._kinematics import (
    delta_phi,
    delta_r,
    from_cartesian,
    invariant_mass,
    pairwise_delta_r,
    to_cartesian,
    transverse_mass,
)
from skhep_ml.preprocessing._linear import MinMaxScaler, ZScoreScaler
from skhep_ml.preprocessing._log import LogScaler

__all__ = [
    "AutoScaler",
    "CloudToImage",
    "CloudToTable",
    "EventsTransformer",
    "JaggedToPadded",
    "KinematicsTransformer",
    "LogScaler",
    "MinMaxScaler",
    "QuantileClipper",
    "ZScoreScaler",
    "delta_phi",
    "delta_r",
    "from_cartesian",
    "invariant_mass",
    "pairwise_delta_r",
    "to_cartesian",
    "transverse_mass",
]
