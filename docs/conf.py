"""Sphinx configuration."""

import sys
from pathlib import Path

from skhep_ml import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "skhep_ml"
author = "The skhep_ml developers"
copyright = "2026, The skhep_ml developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
]
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
default_role = "code"
exclude_patterns = ["_build"]
# docstrings inherited from scikit-learn point into its user guide and its glossary
suppress_warnings = ["ref.ref", "ref.term"]
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = f"skhep_ml {version}"
# pages have no pages below them
html_sidebars = {"**": []}
html_theme_options = {"navigation_with_keys": True, "show_toc_level": 2}


def setup(app):
    """Draw the gallery before the pages are read."""
    import make_gallery

    folder = Path(__file__).parent / "_build" / "gallery"
    app.connect("builder-inited", lambda _: make_gallery.main(folder))
