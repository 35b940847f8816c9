"""The V-Net, its heads, and the Distiller that trains it beside a frozen teacher."""

from pkdr_monai.networks.distiller import Distiller
from pkdr_monai.networks.folding import fold_batch_norm
from pkdr_monai.networks.heads import PatchSelectionHead, Projector, RawEmbedding
from pkdr_monai.networks.monai_vnet import MonaiVNet
from pkdr_monai.networks.vnet import PatchVNet
from pkdr_monai.networks.weights import load_weights, read_tensors

__all__ = [
    "Distiller",
    "MonaiVNet",
    "PatchSelectionHead",
    "PatchVNet",
    "Projector",
    "RawEmbedding",
    "fold_batch_norm",
    "load_weights",
    "read_tensors",
]
