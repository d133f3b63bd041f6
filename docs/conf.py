"""Configuration of the documentation; ``make docs`` builds it."""

from xclassic import __version__

project = "xclassic"
author = "The xclassic developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = f"xclassic {version}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "autolink"  # `name` in a docstring is a link where there is something to link to
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say types with shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the class template lists them
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
