"""One V-Net for every subset of the modalities: what is absent is a channel of zeros."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from pkdr_monai.modalities import MODALITIES, channel_indices, parse_modalities
from pkdr_monai.networks.blocks import STRIDE
from pkdr_monai.networks.vnet import PatchVNet

__all__ = ["AnySubsetVNet", "draw_subset", "draw_subsets"]


class AnySubsetVNet(PatchVNet):
    """Segment a volume from any non-empty subset of its modalities, with one set of weights.

    An absent modality is a channel of zeros. Zero is what the z-score of preprocessing leaves for the mean of the brain
    and for the background, so such a channel says "nothing differs from the mean here", and
    ``NormalizeIntensityd(nonzero=True)`` leaves a channel of zeros as it is: a modality that was never given and one
    that was given as zeros are the same input. A real channel is never constant, so the network knows which
    modalities it has, and no mask has to be passed along.

    In training each sample of each batch is shown a random non-empty subset of its modalities, drawn by
    :func:`draw_subsets` from those that are not zero: a case that lacks a modality serves with what it has.

    The weights are those of a :class:`PatchVNet` with all modalities, and either network loads the other's.

    Args:
        available: the modalities that :meth:`forward` sees, in the project's order; ``None`` for all. The weights are
            the same whatever it says: train with all four, then load ``model.pt`` with those of the hospital.
        modalities: the modalities that training sees.
        out_channels: number of segmented regions.
        init_filters: channels at full resolution.
        patch_head: own a patch head, as :class:`PatchVNet` does.
        patch_size: side of the patch that one embedding vector describes.
        norm: ``batch`` or ``instance``. A running mean and variance of batch norm would be a mixture over subsets that
            fits none of them; see :class:`PatchVNet`.
        modality_dropout: train with random subsets; if not, with all that is there, a control.
        single_share: probability that a sample keeps one modality alone, for hospitals that have one; ``None`` for all
            sizes of subsets equally often.

    Raises:
        ValueError: when a channel count, the patch size or the share does not fit.
        InputError: when a modality is unknown or not among ``modalities``.

    Example:
        >>> all_four, flair = AnySubsetVNet(init_filters=2).eval(), AnySubsetVNet(["flair"], init_filters=2).eval()
        >>> flair.load_state_dict(all_four.state_dict())
        <All keys matched successfully>
        >>> image = torch.rand(1, 1, 32, 16, 16)
        >>> absent = torch.zeros(1, 3, 32, 16, 16)
        >>> bool(torch.equal(flair(image), all_four(torch.cat([absent, image], dim=1))))
        True
    """

    def __init__(
        self,
        available: Iterable[str] | None = None,
        modalities: Iterable[str] = MODALITIES,
        out_channels: int = 3,
        init_filters: int = 16,
        patch_head: bool = False,
        patch_size: int = STRIDE,
        norm: str = "instance",
        modality_dropout: bool = True,
        single_share: float | None = None,
    ) -> None:
        if single_share is not None and not 0 <= single_share <= 1:
            raise ValueError(f"single_share is a probability, got {single_share}.")
        known = parse_modalities(modalities)
        super().__init__(len(known), out_channels, init_filters, patch_head, patch_size, norm)
        self.modalities = known
        self.available = known if available is None else parse_modalities(available)
        self.slots = list(channel_indices(self.available, known))
        self.modality_dropout = modality_dropout
        self.single_share = single_share
        self.in_channels = len(self.available)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return segmentation logits.

        Args:
            x: image with the channels ``available``, ``(B, in_channels, X, Y, Z)``, every side at least 16.

        Returns:
            Logits, ``(B, out_channels, X, Y, Z)``.

        Raises:
            ValueError: when ``x`` has other channels or a side under 16.
        """
        return self._logits(self._with_zeros(x))

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all that a training loss may read, as :meth:`PatchVNet.features` does.

        Args:
            x: image with the channels ``modalities``, ``(B, M, X, Y, Z)``. In training a random subset of each sample
                is kept; elsewhere the channels ``available`` are.

        Raises:
            ValueError: when ``x`` has other channels.
        """
        if x.shape[1] != len(self.modalities):
            raise ValueError(
                f"expected {len(self.modalities)} channels, {', '.join(self.modalities)}, got {x.shape[1]}."
            )
        return super().features(x * self._kept(x)[:, :, None, None, None])

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the encoder's output at every level from an image with all channels."""
        return self._levels(x, len(self.modalities))

    def _with_zeros(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected an image of shape (B, {self.in_channels}, X, Y, Z), got {list(x.shape)}.")
        if self.in_channels == len(self.modalities):
            return x
        full = x.new_zeros([x.shape[0], len(self.modalities), x.shape[2], x.shape[3], x.shape[4]])
        full[:, self.slots] = x
        return full

    def _kept(self, x: torch.Tensor) -> torch.Tensor:
        """Return 1 for each modality of each sample that is kept and 0 for the others, ``(B, M)``."""
        if self.training and self.modality_dropout:
            there = x.detach().flatten(2).any(2).cpu()
            return draw_subsets(there, self.single_share).to(x)
        kept = [float(name in self.available) for name in self.modalities]
        return x.new_tensor(kept).expand(x.shape[0], -1)


def draw_subset(count: int, single_share: float | None = None) -> list[bool]:
    """Draw a non-empty subset of ``count`` modalities: first its size, then one of that size, uniformly.

    It uses torch's generator of the CPU, so that no device has to be waited for.

    Args:
        count: number of modalities there are.
        single_share: probability of the size 1; the other sizes share the rest. ``None`` for all sizes alike.

    Example:
        >>> sum(draw_subset(4)) in (1, 2, 3, 4)
        True
    """
    if single_share is None or count == 1:
        size = int(torch.randint(1, count + 1, ()))
    else:
        size = 1 if float(torch.rand(())) < single_share else int(torch.randint(2, count + 1, ()))
    chosen = torch.randperm(count)[:size].tolist()
    return [modality in chosen for modality in range(count)]


def draw_subsets(there: torch.Tensor, single_share: float | None = None) -> torch.Tensor:
    """Draw a non-empty subset of the modalities that are there, for each sample by itself.

    Args:
        there: which modalities each sample has, ``(B, M)``, bool. A sample that has none keeps none.
        single_share: probability that one alone is kept; ``None`` for all sizes alike.

    Returns:
        Which are kept, ``(B, M)``, bool, on the CPU.

    Example:
        >>> draw_subsets(torch.tensor([[False, True, False, False]])).tolist()
        [[False, True, False, False]]
    """
    kept = torch.zeros_like(there)
    for sample, modalities in enumerate(there):
        present = modalities.nonzero().flatten()
        if len(present):
            kept[sample, present] = torch.tensor(draw_subset(len(present), single_share))
    return kept
