"""The methods that the paper compares with (Table 1), one file each.

A method is a loss that keeps the contract of :mod:`pkdr_monai.losses`, with heads where it needs them, and a short
config under ``experiments/table1`` that names them. Trying one touches no other file; CONTRIBUTING shows how, and what
else changes when it stays.
"""

from pkdr_monai.baselines.kdnet import KDNetLoss
from pkdr_monai.baselines.pmkl import DescriptorHead, PMKLLoss
from pkdr_monai.baselines.protokd import ProtoKDLoss
from pkdr_monai.baselines.softmax import ClassesToRegions, SoftmaxSegmentationLoss
from pkdr_monai.baselines.uhved import UHVED
from pkdr_monai.baselines.uhved_loss import UHVEDLoss

__all__ = [
    "UHVED",
    "ClassesToRegions",
    "DescriptorHead",
    "KDNetLoss",
    "PMKLLoss",
    "ProtoKDLoss",
    "SoftmaxSegmentationLoss",
    "UHVEDLoss",
]
