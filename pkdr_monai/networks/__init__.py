"""The V-Net, its heads, and the Distiller that trains it beside a frozen teacher."""

from pkdr_monai.networks.any_subset import AnySubsetVNet
from pkdr_monai.networks.blocks import DecoderHintHead, PatchSelectionHead, Projector, RawEmbedding, require_roi_size
from pkdr_monai.networks.distiller import Distiller
from pkdr_monai.networks.monai_vnet import MonaiVNet
from pkdr_monai.networks.vnet import PatchVNet
from pkdr_monai.networks.weights import (
    begin_from,
    build_network,
    describe_network,
    fold_batch_norm,
    inference_copy,
    load_model,
    load_weights,
    read_tensors,
)

__all__ = [
    "AnySubsetVNet",
    "DecoderHintHead",
    "Distiller",
    "MonaiVNet",
    "PatchSelectionHead",
    "PatchVNet",
    "Projector",
    "RawEmbedding",
    "begin_from",
    "build_network",
    "describe_network",
    "fold_batch_norm",
    "inference_copy",
    "load_model",
    "load_weights",
    "read_tensors",
    "require_roi_size",
]
