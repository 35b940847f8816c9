"""The paper's tables, measured: results of many trainings, their statistics, tables and figures."""

from pkdr_monai.comparison.report import render_tables, report_text, write_report
from pkdr_monai.comparison.results import Result, Scores, group_scores, read_results
from pkdr_monai.comparison.study import Study, read_study
from pkdr_monai.comparison.tables import Table, read_tables

__all__ = [
    "Result",
    "Scores",
    "Study",
    "Table",
    "group_scores",
    "read_results",
    "read_study",
    "read_tables",
    "render_tables",
    "report_text",
    "write_report",
]
