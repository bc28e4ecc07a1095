"""The docs as a site: ``sphinx-build -W -b html docs build/docs`` (extra ``docs``; ``tox -e docs``)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # sources

import evalkit

project = "evalkit"
author = "The evalkit developers"
project_copyright = "the evalkit developers, Apache-2.0"
release = version = evalkit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sources"]
needs_sphinx = "8.2"
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
suppress_warnings: list[str] = []  # none: a warning is an error
nitpicky = True
# Of other projects, whose inventories would have to be fetched, and of evalkit's own rooms, which are not public.
nitpick_ignore_regex = [("py:.*", r"(?!evalkit\b).*|evalkit\.(?!errors\b)\w+\..*")]

myst_heading_anchors = 4  # as GitHub names them
myst_enable_extensions = ["fieldlist"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 90  # a parameter a line beyond
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

highlight_language = "text"  # of a block that says none
smartquotes = False  # two hyphens of an option are no dash
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"evalkit {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
