"""Synthetic patients: a head, its tumour, what a scanner shows of them, and cohorts in the layout of BraTS 2018."""

from pkdr_monai.phantom.case import PhantomCase, make_case
from pkdr_monai.phantom.cohort import write_cohort

__all__ = ["PhantomCase", "make_case", "write_cohort"]
