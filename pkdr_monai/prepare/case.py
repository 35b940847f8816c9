"""One case that is being prepared: its volumes on one grid, without skull and bias field, on the disk with a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pkdr_monai import DISCLAIMER, __version__
from pkdr_monai.data.geometry import voxel_sizes
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, write_json
from pkdr_monai.inference.nifti import PREPARED
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.prepare.brain import BrainSource, find_brains
from pkdr_monai.prepare.registration import METHOD, OneGrid, bring_to_one_grid
from pkdr_monai.prepare.volume import Volume, itk_image, itk_voxels, one_thread, require_simpleitk, write_volume

__all__ = ["BIAS_METHOD", "RECORD", "CaseWriter", "Corrected", "correct_bias", "require_apart", "require_n4"]

RECORD = PREPARED
COARSE_MM = 4.0  # voxels are thinned out to about this size: a bias field is smooth
ITERATIONS = (50, 50, 50)  # of 3 resolutions; a fourth took more of a tumour for bias
BIAS_METHOD = "N4 within the brain; 3 resolutions of at most 50 iterations, voxels of about 4 mm; SimpleITK, one thread"


@dataclass(frozen=True)
class CaseWriter:
    """Writes ``<case>_<modality>.nii.gz`` and ``prepare.json`` into the folder of a case.

    Args:
        case: name of the case, with which the names of its files begin.
        folder: its folder; what an earlier preparation left there is removed.
        brain: where the brain comes from.
        n4: divide the bias field out of each brain.
        log: called with each line for people.
    """

    case: str
    folder: Path
    brain: BrainSource
    n4: bool
    log: Callable[[str], None]

    def write(
        self,
        volumes: Mapping[str, Volume],
        scratch: Path,
        sources: Mapping[str, Mapping[str, Any]],
        facts: Mapping[str, Any],
        versions: Mapping[str, str],
    ) -> str:
        """Bring the volumes to one grid, take the brain out of them, and write them with the record.

        Args:
            volumes: by modality, whole heads or brains.
            scratch: an existing folder for temporary files.
            sources: what the record says of each image beside its file and hash.
            facts: what else the record holds, after the name of the case.
            versions: those of the programs that made the volumes.

        Returns:
            The modality on whose grid all images lie.

        Raises:
            InputError: when volumes on different grids cannot be registered, or the brain is not known.
        """
        together = bring_to_one_grid(volumes, self.log)
        heads = self.folder / "heads"
        brains, how = find_brains(together.volumes, self.brain, scratch, heads, self.case, self.log)
        corrected = {modality: correct_bias(volume) for modality, volume in brains.items()} if self.n4 else {}
        brains |= {modality: one.volume for modality, one in corrected.items()}
        self._clear()
        images = {}
        for modality, volume in brains.items():
            path = self.folder / f"{self.case}_{modality}.nii.gz"
            write_volume(path, volume)
            images[modality] = {"file": path.name, "sha256": file_hash(path), **sources[modality]}
        content = {
            "case": self.case,
            **facts,
            "images": images,
            "registration": self._write_transforms(together, volumes),
            "brain": how,
            "bias_correction": _bias_record(corrected),
            "versions": _versions(versions, bool(together.registered) or self.n4),
            "note": DISCLAIMER,
        }
        write_json(self.folder / RECORD, content)
        self.log(f"{self.case}: {', '.join(volumes)}; {how['how']}; in {self.folder}")
        return together.reference

    def _write_transforms(self, together: OneGrid, originals: Mapping[str, Volume]) -> dict[str, Any] | None:
        """Write the transform of each image that was registered, and return what undoing it takes."""
        if not together.registered:
            return None
        moved = {}
        for modality, found in together.registered.items():
            path = self.folder / f"{self.case}_{together.reference}_to_{modality}.tfm"
            found.write(path)
            moved[modality] = {
                "file": path.name,
                "matrix": found.matrix.tolist(),  # position in the reference to position in this image, mm, RAS
                "metric": found.metric,
                "shape": list(originals[modality].voxels.shape),
                "affine": originals[modality].affine.tolist(),
            }
        return {"reference": together.reference, "method": METHOD, "moved": moved}

    def _clear(self) -> None:
        """Remove what an earlier preparation of the case wrote, images of other modalities among it."""
        (self.folder / RECORD).unlink(missing_ok=True)
        heads = self.folder / "heads"
        for content in (*MODALITIES, "brain"):
            for folder in (self.folder, heads):
                (folder / f"{self.case}_{content}.nii.gz").unlink(missing_ok=True)
        for path in self.folder.glob(f"{self.case}_*_to_*.tfm"):
            path.unlink()
        if heads.is_dir() and not any(heads.iterdir()):
            heads.rmdir()


def require_apart(source: Path, output: Path) -> None:
    """Refuse an output inside the input, which nothing is written into.

    Raises:
        InputError: when it is.
    """
    inside = source.resolve() if source.is_dir() else None
    if inside is not None and (output.resolve() == inside or inside in output.resolve().parents):
        raise InputError("the output lies in the input, which nothing is written into: choose another --output.")


def require_n4() -> ModuleType:
    """Return SimpleITK, which has N4.

    Raises:
        InputError: when it is not installed.
    """
    return require_simpleitk("--n4", "leave it out")


def _bias_record(corrected: Mapping[str, Corrected]) -> dict[str, Any] | None:
    gains = {modality: [round(value, 4) for value in one.gain] for modality, one in corrected.items()}
    return {"method": BIAS_METHOD, "gain_percentiles_1_99": gains} if gains else None


def _versions(versions: Mapping[str, str], by_simpleitk: bool) -> dict[str, str]:
    own = {"pkdr_monai": __version__, **versions}
    return own | ({"SimpleITK": require_n4().Version_VersionString()} if by_simpleitk else {})


@dataclass(frozen=True)
class Corrected:
    """A brain without its bias field.

    Args:
        volume: the brain, float32.
        gain: the field that was divided out, in percentiles 1 and 99 of the brain; its geometric mean is 1.
    """

    volume: Volume
    gain: tuple[float, float]


def correct_bias(brain: Volume) -> Corrected:
    """Divide the bias field of the coils out of a brain, by N4 (Tustison et al., IEEE TMI 2010).

    The same volume gives the same result.

    Args:
        brain: a volume that is 0 outside the brain.

    Raises:
        InputError: when SimpleITK is missing or fails.
    """
    sitk = require_n4()
    inside = brain.voxels > 0  # the logarithm of the rest is not there
    image = itk_image(sitk, brain)
    mask = sitk.Cast(itk_image(sitk, Volume(inside, brain.affine)), sitk.sitkUInt8)
    shrinking = [
        max(1, min(round(COARSE_MM / size), side // 8))
        for size, side in zip(voxel_sizes(brain.affine), inside.shape, strict=True)
    ]
    try:
        with one_thread(sitk):
            method = sitk.N4BiasFieldCorrectionImageFilter()
            method.SetMaximumNumberOfIterations(ITERATIONS)
            method.Execute(sitk.Shrink(image, shrinking), sitk.Shrink(mask, shrinking))
            field = itk_voxels(sitk, method.GetLogBiasFieldAsImage(image))
    except RuntimeError as error:
        raise InputError(f"N4 failed: {str(error).splitlines()[-1].strip()}; leave --n4 out.") from error
    field = field.astype(np.float64) - field[inside].mean(dtype=np.float64)
    voxels = np.where(inside, brain.voxels / np.exp(field), brain.voxels).astype(np.float32)
    least, most = np.percentile(np.exp(field[inside]), [1, 99])
    return Corrected(Volume(voxels, brain.affine), (float(least), float(most)))
