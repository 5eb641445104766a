"""The analysis behind ``skhep-ml train``: a file says what, this does it."""
