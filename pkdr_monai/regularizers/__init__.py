"""The subtasks that the paper compares patch selection with (Table 2), one file each.

A subtask is a head on the network's features and a loss that reads what the head makes of them, and a short config
under ``experiments/table2`` that names both. Patch selection, the paper's own, is in :mod:`pkdr_monai.losses`.
"""
