"""``pkdr prepare``: a DICOM study, or NIfTI files of whole heads, as the scans that ``pkdr predict`` takes."""

from pathlib import Path

from pkdr_monai import DISCLAIMER
from pkdr_monai.arguments import switch
from pkdr_monai.terminal import command, echo

__all__ = ["prepare"]


@command(n4=switch)
def prepare(
    source: str,
    *,
    output: str,
    t1: str | None = None,
    t1ce: str | None = None,
    t2: str | None = None,
    flair: str | None = None,
    brain: str | None = None,
    brain_weights: str | None = None,
    brain_mask: str | None = None,
    n4: bool = False,
) -> None:
    """Make the skull-stripped scans that pkdr predict takes, from DICOM or from NIfTI. Not a medical device.

    Of a DICOM study each series is listed with the modality that its headers give, and why. Those that are certain are
    taken; where one is not, nothing is guessed: name it. Localisers, derived maps and other kinds of image are left
    out. OUT/<case>/ gets <case>_<modality>.nii.gz and prepare.json; the case is named by a hash. Needs the extra dicom.
    Of NIfTI files the names give case and modality, as for pkdr predict; those of a case that lie on different grids
    are registered.
    Examples: pkdr prepare study.zip -o prepared; pkdr prepare heads -o prepared --brain deepbet

    Args:
        source: folder with the DICOM files of one study of one patient, or a zip of it; or a folder of NIfTI files, or
            one such file.
        output: folder for the result, OUT.
        t1: number or hash of the series, or NIfTI file of the folder, that is the T1; where one is named, those that
            are named alone are taken.
        t1ce: that of the contrast-enhanced T1.
        t2: that of the T2.
        flair: that of the FLAIR.
        brain: program that takes the brain out of a head: deepbet (from T1 or T1ce; extra brain) or hd-bet (from any
            modality; the command hd-bet must be on PATH, and fetches its weights from the web the first time); by
            default none, as the images are skull-stripped already, which is checked.
        brain_weights: folder with the weights of HD-BET, which fetches none then.
        brain_mask: NIfTI file that is not 0 in the brain, on the grid of the series, made by any other program.
        n4: divide the scanner's bias field out of each brain (N4; extra prepare); off, since networks learn without it.
    """
    from pkdr_monai.prepare import BrainSource, holds_dicom, prepare_scans, prepare_study

    given = {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
    named = {modality: series for modality, series in given.items() if series is not None}
    mask, weights = (None if path is None else Path(path) for path in (brain_mask, brain_weights))
    how = prepare_study if holds_dicom(source) else prepare_scans
    how(source, output, named=named, brain=BrainSource(mask, brain, weights), n4=n4, log=echo)
    echo(DISCLAIMER)
