"""Data sets on disk: their cases, checks, splits and data lists.

What loads torch or MONAI is not imported here: take transforms and the synthetic cohort from their modules,
:mod:`pkdr_monai.data.transforms` and :mod:`pkdr_monai.phantom`.
"""

from pkdr_monai.data.cases import Case, Cohort
from pkdr_monai.data.checks import check_cases
from pkdr_monai.data.datalist import inference_items, load_data_list, named_apart, require_checked, training_items
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.data.listing import make_data_list, make_fold_lists
from pkdr_monai.data.problems import Problem, problems_table
from pkdr_monai.data.splits import split_cases, split_folds

__all__ = [
    "Case",
    "Cohort",
    "Problem",
    "check_cases",
    "find_cases",
    "inference_items",
    "load_data_list",
    "make_data_list",
    "make_fold_lists",
    "named_apart",
    "problems_table",
    "require_checked",
    "split_cases",
    "split_folds",
    "training_items",
]
