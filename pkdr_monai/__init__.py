"""Segment a brain tumour from one MRI sequence almost as well as from four (PKDR, ICASSP 2024), for MONAI.

Importing this package is cheap: torch and MONAI load with the sub-package that needs them.
"""

__version__ = "0.1.0"
