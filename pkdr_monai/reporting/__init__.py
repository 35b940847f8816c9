"""Pages to read: the report of a run, and the fingerprint of a data set. Each is one file that needs no network."""

from pkdr_monai.reporting.fingerprint import write_fingerprint_page
from pkdr_monai.reporting.report import write_report

__all__ = ["write_fingerprint_page", "write_report"]
