"""Sphinx configuration: Markdown in, a furo site out. Built without the network."""

from importlib.metadata import version as installed_version

project = "nursery_otp"
author = "The nursery_otp authors"
copyright = f"2026, {author}"
version = release = installed_version("nursery_otp")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
templates_path: list[str] = []

html_theme = "furo"
html_title = "nursery_otp"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

nitpicky = True
# Cross references must resolve inside the public API. Names of other packages, type variables and private modules have
# no page here (their sites are not fetched: the build needs no network).
nitpick_ignore_regex = [(r"py:.*", r"(?!nursery_otp\.[A-Za-z]).*")]
