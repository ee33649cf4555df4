"""Sphinx configuration: Markdown in, a furo site out. Built without the network."""

import re
from importlib.metadata import version as installed_version
from typing import Any

import nursery_otp

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

default_role = "py:obj"  # a word between single backticks in a docstring is code, and a link if it is a public name
python_maximum_signature_line_length = 100
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"Address": "nursery_otp.Address", "Next": "nursery_otp.Next"}

nitpicky = True
# Cross references must resolve inside the public API. Names of other packages, type variables and private modules have
# no page here (their sites are not fetched: the build needs no network).
nitpick_ignore_regex = [(r"py:.*", r"(?!nursery_otp\.[A-Za-z]).*")]

DEFINED = re.compile(r"nursery_otp\.(?:_[\w.]*\.)?(\w+)$")


def link_to_public_name(app: Any, environment: Any, node: Any, content: Any) -> Any:
    """Signatures name things by the private module that defines them; link to the public name instead."""
    found = DEFINED.match(node.get("reftarget", ""))
    if found is None or not hasattr(nursery_otp, found[1]):
        return None
    domain = environment.get_domain("py")
    target = f"nursery_otp.{found[1]}"
    return domain.resolve_xref(environment, node["refdoc"], app.builder, "obj", target, node, content)


def indented_is_code(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Docstrings are read as Markdown is: an indented paragraph is a block of code."""
    for number in reversed(range(1, len(lines))):
        line, before = lines[number], lines[number - 1]
        if line.startswith("    ") and not before:
            above = next((text for text in reversed(lines[:number]) if text), "")
            if not above.startswith(" ") and not above.endswith("::"):
                lines[number:number] = ["::", ""]


def public_bases(app: Any, name: str, thing: object, options: Any, bases: list[type]) -> None:
    """Show the public base class in the place of one that only saves lines in `errors.py`."""
    bases[:] = [base.__bases__[0] if base.__name__.startswith("_") else base for base in bases]


def setup(app: Any) -> None:
    """What the extensions do not do by themselves."""
    app.connect("autodoc-process-bases", public_bases)
    app.connect("missing-reference", link_to_public_name)
    app.connect("autodoc-process-docstring", indented_is_code)
