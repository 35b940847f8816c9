"""What the headers of a case say: that its files can be read, and that their voxels lie in the same places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pkdr_monai.data.cases import Case
from pkdr_monai.data.geometry import corner_distance, is_same_grid
from pkdr_monai.data.headers import Header, UnreadableError, describe_shape, read_header
from pkdr_monai.data.problems import Problem

__all__ = ["differing_grids", "read_headers"]

CHANNELS = 8  # at most in a one-hot label: BraTS has five classes; more are volumes of something else


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
            header = read_header(folder / path, case.geometry)
            if contents == ["label"]:
                _refuse_one_hot(header)
            _require_dimensions(header, {} if contents == ["label"] else case.channels or {})
            headers.update(dict.fromkeys(contents, header))
        except UnreadableError as error:
            problems.append(Problem(case.name, path, error.what, error.fix))
    return headers, problems


def differing_grids(case: Case, headers: Mapping[str, Header]) -> Iterator[Problem]:
    """Yield the files whose voxels do not lie where those of the first one do.

    Corners may lie off by a tenth of a voxel, since programs round affines differently.
    """
    reference = next(iter(headers), "")
    for content in list(headers)[1:]:
        here, there = headers[content], headers[reference]
        if here.shape[:3] != there.shape[:3]:
            sizes = describe_shape(here.shape[:3]), describe_shape(there.shape[:3])
            what = f"{content} has {sizes[0]} voxels, {reference} has {sizes[1]}"
        elif not is_same_grid(there.shape, here.affine, there.affine):
            away = corner_distance(there.shape, here.affine, there.affine)
            what = f"{content} has another affine than {reference}: its voxels lie up to {away:.2g} mm off"
        else:
            continue
        yield Problem(case.name, case.files[content], what, f"resample it to {reference}, or repair its header")


def _refuse_one_hot(header: Header) -> None:
    """Name a label that has a channel for each tissue or region, which is no label map."""
    if len(header.shape) == 4 and 1 < header.shape[3] <= CHANNELS:
        what = f"its shape is {describe_shape(header.shape)}: {header.shape[3]} channels, as of a one-hot label"
        raise UnreadableError(what, "write one label map (X, Y, Z) with the values of a label scheme")


def _require_dimensions(header: Header, channels: Mapping[str, int]) -> None:
    """Refuse a volume that is not 3-D or, where a case has ``channels``, not 4-D with all of them."""
    shape, needed = header.shape, max(channels.values()) + 1 if channels else 1
    if (len(shape) == 3 and needed == 1) or (channels and len(shape) == 4 and shape[3] >= needed):
        return
    expected = f"(X, Y, Z, {needed})" if channels else "(X, Y, Z)"
    what = f"its shape is {describe_shape(shape)}, expected {expected}"
    if len(shape) == 4 and not channels:
        what += f": it holds {shape[3]} volumes, numbers 0 to {shape[3] - 1}"
        raise UnreadableError(what, "write the one to use to a file of its own, such as with fslroi IN OUT NUMBER 1")
    raise UnreadableError(what, "replace the file")
