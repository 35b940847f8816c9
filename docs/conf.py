"""The documentation's site: `make docs` builds it below build/docs, and a warning is an error."""

from importlib.metadata import version as installed

project = "PKDR"
author = "The PKDR contributors"
release = installed("pkdr-monai")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"PKDR {release}"

# The root of the repository is the source, so that links between README, docs/ and experiments/ work in both places.
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/**",
    "bundle/docs/*.md",
    "benchmarks/README.md",
    "experiments/README.md",
    "experiments/results/*/README.md",
    "pkdr_monai/reporting/vendor/README.md",
]

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_use_rtype = False
nitpicky = False
