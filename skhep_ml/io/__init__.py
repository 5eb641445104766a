"""Events from ROOT, Parquet, HDF5, CSV and NumPy files, and scores back into files."""

from skhep_ml.io._read import EventStream, iterate_events, read_events
from skhep_ml.io._write import write_scores

__all__ = ["EventStream", "iterate_events", "read_events", "write_scores"]
