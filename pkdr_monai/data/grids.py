"""What the headers of a case say: that its files can be read, and that their voxels lie in the same places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pkdr_monai.data.cases import Case
from pkdr_monai.data.headers import Header, UnreadableError, describe_shape, read_header
from pkdr_monai.data.problems import Problem

__all__ = ["differing_grids", "read_headers"]

CHANNELS = 8  # at most in a one-hot label: BraTS has five classes; more are volumes of something else
SHIFT = 0.1  # of a voxel's edge, by which a label may lie off its images: programs round affines differently


def read_headers(case: Case, folder: Path, files: Mapping[str, str]) -> tuple[dict[str, Header], list[Problem]]:
    """Read the header of each file of a case.

    Args:
        case: the case.
        folder: the data set's folder.
        files: the files to read, relative to ``folder``, by what they hold: a modality, or ``"label"``.

    Returns:
        The headers that are sound, by what the files hold, and what is wrong with the others.
    """
    headers: dict[str, Header] = {}
    problems: list[Problem] = []
    for path in dict.fromkeys(files.values()):  # a 4-D file stands for several modalities: read it once
        contents = [content for content in files if files[content] == path]
        try:
            header = read_header(folder / path)
            if contents == ["label"]:
                _refuse_one_hot(header)
            _require_dimensions(header, {} if contents == ["label"] else case.channels or {})
            headers.update(dict.fromkeys(contents, header))
        except UnreadableError as error:
            problems.append(Problem(case.name, path, error.what, error.fix))
    return headers, problems


def differing_grids(case: Case, headers: Mapping[str, Header]) -> Iterator[Problem]:
    """Yield the files whose voxels do not lie where those of the first one do.

    The affines of modalities must be as close as MONAI's reader asks for where it stacks them (``numpy.allclose``). A
    label, read by itself, may lie off by a tenth of a voxel.
    """
    reference = next(iter(headers), "")
    for content in list(headers)[1:]:
        here, there = headers[content], headers[reference]
        if here.shape[:3] != there.shape[:3]:
            sizes = describe_shape(here.shape[:3]), describe_shape(there.shape[:3])
            what = f"{content} has {sizes[0]} voxels, {reference} has {sizes[1]}"
        elif not _same_affine(here, there, SHIFT if content == "label" else 0.0):
            away = _distance(here, there)
            what = f"{content} has another affine than {reference}: its voxels lie up to {away:.2g} mm off"
        else:
            continue
        yield Problem(case.name, case.files[content], what, f"resample it to {reference}, or mend its header")


def _refuse_one_hot(header: Header) -> None:
    """Name a label that has a channel for each tissue or region, which is no label map."""
    if len(header.shape) == 4 and 1 < header.shape[3] <= CHANNELS:
        what = f"its shape is {describe_shape(header.shape)}: {header.shape[3]} channels, as of a one-hot label"
        raise UnreadableError(what, "write one label map (X, Y, Z) with the values of a label scheme")


def _require_dimensions(header: Header, channels: Mapping[str, int]) -> None:
    """Refuse a volume that is not 3-D or, where a case has ``channels``, not 4-D with all of them."""
    expected = f"(X, Y, Z, {max(channels.values()) + 1})" if channels else "(X, Y, Z)"
    fits = len(header.shape) == 4 and header.shape[3] > max(channels.values()) if channels else len(header.shape) == 3
    if not fits:
        raise UnreadableError(f"its shape is {describe_shape(header.shape)}, expected {expected}", "replace the file")


def _same_affine(here: Header, there: Header, shift: float) -> bool:
    close = bool(np.allclose(here.affine, there.affine))
    return close or _distance(here, there) < shift * there.voxel_volume ** (1 / 3)


def _distance(here: Header, there: Header) -> float:
    """Return how far apart two affines place the corners of one grid, at most, in mm."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(there.shape[:3]) - 1)  # (8, 3)
    shift = np.column_stack([corners, np.ones(8)]) @ (here.affine - there.affine).T  # (8, 4)
    return float(np.linalg.norm(shift[:, :3], axis=1).max())
