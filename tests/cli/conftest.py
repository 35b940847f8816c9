"""The cohort and the models of the inference tests, for the command that runs them."""

from tests.inference.conftest import cohort, make_model, runs, scan

__all__ = ["cohort", "make_model", "runs", "scan"]
