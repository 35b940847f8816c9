"""The losses of the paper, one file an equation; each is of use without the rest of this package.

* Eq. 1 to 4, :class:`PatchSelectionLoss`: which patches hold tumour, asked of the encoder
* Eq. 5, :class:`PixelKDLoss`: the teacher's probability in every voxel
* Eq. 6, :class:`PatchKDLoss`: the teacher's opinion on every patch
* Eq. 7, :class:`PatchContrastiveLoss`: tumour patches unlike healthy ones, and alike in both networks
* Eq. 8, :class:`SegmentationLoss`: the label of every voxel
* Eq. 9, :class:`PKDRLoss`: their weighted sum
* no equation of the paper, :class:`DecoderHintLoss`: the teacher's last decoder feature, an option of the sum

All take logits. All average over the batch and the positions and sum over the regions, so that their weights keep their
meaning whatever the crop. All work in float32 at least, under autocast and with low-precision inputs too.

A loss that a training here can use, :class:`PKDRLoss` or that of another method, extends
:class:`~pkdr_monai.losses.base.DistillationLoss` and keeps one contract:

* ``loss(prediction, label)`` returns a scalar. ``prediction`` is what the Distiller returns: ``{"student": {...},
  "teacher": {...}}``, tensors by name; ``label`` is ``(B, 3, X, Y, Z)``. A tensor that it needs and does not find, it
  names in a ``ValueError``.
* After the call ``loss.parts`` holds the value of each of its terms before weighting, by name, as scalars without
  gradient, on the device: whoever logs them decides when to wait for it. ``parts`` is new in each call.
"""

from pkdr_monai.losses.decoder_hint import DecoderHintLoss
from pkdr_monai.losses.patch_contrastive import PatchContrastiveLoss, patch_contrastive_terms
from pkdr_monai.losses.patch_kd import PatchKDLoss
from pkdr_monai.losses.patch_selection import PatchSelectionLoss, patch_labels, patch_selection_loss
from pkdr_monai.losses.pixel_kd import PixelKDLoss, sigmoid_distillation, voxel_weights
from pkdr_monai.losses.pkdr import PKDRLoss
from pkdr_monai.losses.segmentation import SegmentationLoss, cross_entropy, dice_loss, segmentation_loss

__all__ = [
    "DecoderHintLoss",
    "PKDRLoss",
    "PatchContrastiveLoss",
    "PatchKDLoss",
    "PatchSelectionLoss",
    "PixelKDLoss",
    "SegmentationLoss",
    "cross_entropy",
    "dice_loss",
    "patch_contrastive_terms",
    "patch_labels",
    "patch_selection_loss",
    "segmentation_loss",
    "sigmoid_distillation",
    "voxel_weights",
]
