"""What tests and doctests share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _close_figures():
    """Close what a test leaves open: matplotlib warns of more than 20 figures."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
