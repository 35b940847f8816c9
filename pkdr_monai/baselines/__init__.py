"""The methods that the paper compares with (Table 1), one file each.

A method is a loss that keeps the contract of :mod:`pkdr_monai.losses`, with heads where it needs them, and a short
config under ``experiments/table1`` that names them. Adding one touches no other file; CONTRIBUTING shows how.
"""
