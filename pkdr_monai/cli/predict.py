"""``pkdr predict``: segment one scan, or a folder of them."""

import json as json_format
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pkdr_monai.arguments import names, number, switch
from pkdr_monai.errors import InputError
from pkdr_monai.terminal import ProgressLine, command, echo

__all__ = ["predict"]

CASES_FAILED_EXIT_CODE = 1


@command(
    models=names,
    fast=switch,
    tta=switch,
    window_overlap=number,
    min_component=number,
    et_rule=number,
    save_probabilities=switch,
    uncertainty=switch,
    force=switch,
    strict=switch,
    quiet=switch,
    json=switch,
    dicom_seg=switch,
    bids=switch,
    n4=switch,
)
def predict(
    *inputs: str,
    output: str,
    t1: str | None = None,
    t1ce: str | None = None,
    t2: str | None = None,
    flair: str | None = None,
    models: Sequence[str] = (),
    model: str | None = None,
    use: str = "best",
    fast: bool = False,
    tta: bool = False,
    window_overlap: float = 0.5,
    blend: str = "constant",
    precision: str = "auto",
    backend: str = "auto",
    label_scheme: str | None = None,
    min_component: float = 0.0,
    et_rule: float = 0.0,
    save_probabilities: bool = False,
    uncertainty: bool = False,
    force: bool = False,
    strict: bool = False,
    geometry: str = "header",
    device: str | None = None,
    quiet: bool = False,
    json: bool = False,
    brain: str | None = None,
    brain_weights: str | None = None,
    brain_mask: str | None = None,
    n4: bool = False,
    dicom_seg: bool = False,
    bids: bool = False,
) -> None:
    """Segment the tumour of one scan, or of a folder of them. Research software, not a medical device.

    OUT/<case>/ gets <case>_seg.nii.gz (labels, uint8, on the scan's own grid), preview.png, record.json and, when asked
    for, <case>_probabilities.nii.gz and <case>_uncertainty.nii.gz (TC, WT, ET); OUT/run.json holds it all for
    programs. A case that is done is not repeated. Regions contain each other: ET in TC in WT. Small pieces stay unless
    --min_component says otherwise. Scans of any orientation and spacing, skull-stripped; several modalities on one
    grid. Exit code: 0 done, 1 some case failed, 2 bad input. Examples: pkdr predict scans -o out;
    pkdr predict --flair x.nii.gz -o out

    Args:
        inputs: a folder of cases, or files whose names give the modality, such as ann_flair.nii.gz; or the DICOM folder
            or zip of one study, of which --flair and the like then name a series (see pkdr prepare --help).
        output: folder for the results, OUT.
        t1: the T1 image of one scan, whatever its name.
        t1ce: its contrast-enhanced T1 image.
        t2: its T2 image.
        flair: its FLAIR image.
        models: folders to look for models in, with commas between them; default: models, runs, demo/runs.
        model: the one model to use: its model.pt, or the folder of its run.
        use: best: the best model for the modalities at hand, with all four the teacher; all: the mean of all students.
        fast: the whole brain in one pass instead of windows; several times faster, a little different.
        tta: the mean over eight mirror images; eight times slower.
        window_overlap: part of a window that the next one covers.
        blend: constant or gaussian: how windows that overlap are averaged.
        precision: auto, float32 or bfloat16; auto takes bfloat16 where the processor computes in it.
        backend: torch, onnx or openvino; auto takes the fastest that pkdr bundle build checked for the model.
        label_scheme: labels to write, such as brats2023 or msd; default: those the model learnt from.
        min_component: remove connected pieces below this volume in mL; 0 removes nothing.
        et_rule: turn an enhancing tumour below this volume in mm³ into necrosis, such as 500; 0 leaves it.
        save_probabilities: write the probability of each region.
        uncertainty: write the entropy of each region's probability, in bit.
        force: segment a scan that does not look like a whole, skull-stripped brain.
        strict: refuse an image that looks like another modality than it is given as, or whose sidecar says that it is.
        geometry: sform, qform or pixdim: which affine to use where a header states two; default: refuse such a header.
        device: cpu or cuda; default: a GPU where there is one.
        quiet: write nothing to the terminal but errors.
        json: write run.json to the standard output instead of text.
        brain: of a DICOM study: deepbet or hd-bet takes the brain out of the heads, as in pkdr prepare.
        brain_weights: of a DICOM study: folder with the weights of HD-BET, as in pkdr prepare.
        brain_mask: of a DICOM study: NIfTI file that is not 0 in the brain, as in pkdr prepare.
        n4: of a DICOM study: divide the bias field out, as in pkdr prepare.
        dicom_seg: of a DICOM study: write <case>_seg.dcm, a DICOM Segmentation of the three regions.
        bids: write the label maps as a BIDS derivative too, in OUT/bids.
    """
    from pkdr_monai.inference import Settings, Shard
    from pkdr_monai.inference import predict as segment
    from pkdr_monai.inference.bids import write_derivative
    from pkdr_monai.prepare import BrainSource, holds_dicom, segment_study
    from pkdr_monai.system import keep_freed_memory

    settings = Settings(
        use=use,
        fast=fast,
        flips=tta,
        window_overlap=window_overlap,
        blend=blend,
        precision=precision,
        backend=backend,
        label_scheme=label_scheme,
        min_component=min_component,
        et_rule=et_rule,
        save_probabilities=save_probabilities,
        uncertainty=uncertainty,
        force=force,
        strict=strict,
        geometry=geometry,
    )
    keep_freed_memory()
    given = {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
    silent = quiet or json
    log = (lambda line: None) if silent else echo
    named = {modality: path for modality, path in given.items() if path is not None}

    def run(inputs: Sequence[str | Path], named: Mapping[str, str] | None, output: str | Path) -> dict[str, Any]:
        return segment(
            inputs,
            output,
            named=named,
            models=models,
            model=model,
            settings=settings,
            device=device,
            log=log,
            progress=None if silent else ProgressLine("segmenting"),
        )

    if len(inputs) == 1 and holds_dicom(inputs[0]):
        record = segment_study(
            inputs[0],
            output,
            lambda folder, output: run([folder], None, output),
            named=named,
            brain=BrainSource(_path(brain_mask), brain, _path(brain_weights)),
            n4=n4,
            dicom_seg=dicom_seg,
            log=log,
        )
    elif dicom_seg or n4 or any(word is not None for word in (brain, brain_weights, brain_mask)):
        raise InputError(
            "--brain, --brain_weights, --brain_mask, --n4 and --dicom_seg are for the DICOM folder or zip of one "
            "study: give one, or take the brain out of NIfTI files with pkdr prepare first."
        )
    else:
        record = run(inputs, named, output)
    if Shard.of_this_process().rank:
        return  # the first process prints for all
    if bids:
        log(f"BIDS derivative in {write_derivative(output, record['cases'])}")
    if json:
        echo(json_format.dumps(record, indent=2))
    failed = [case for case in record["cases"] if case["status"] == "failed"]
    nothing_but_bad_input = len(failed) == len(record["cases"]) and all(case["kind"] == "input" for case in failed)
    if nothing_but_bad_input and len(failed) == 1:
        raise InputError(failed[0]["error"])
    for case in failed:
        sys.stderr.write(f"error: {case['case']}: {case['error']}\n")
    if failed:
        raise SystemExit(InputError.exit_code if nothing_but_bad_input else CASES_FAILED_EXIT_CODE)


def _path(word: str | None) -> Path | None:
    return None if word is None else Path(word)
