from __future__ import annotations

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.regions import LABEL_SCHEMES, REGIONS, label_to_regions, regions_to_label, scheme_labels


def test_every_scheme_names_the_three_tissues() -> None:
    assert all(set(values) == {"ncr", "ed", "et"} for values in LABEL_SCHEMES.values())


@pytest.mark.parametrize("label_scheme", LABEL_SCHEMES)
def test_regions_are_nested_and_hold_their_tissues(label_scheme: str) -> None:
    values = scheme_labels(label_scheme)
    label = torch.tensor([0, values["ncr"], values["ed"], values["et"]]).reshape(4, 1, 1)
    regions = dict(zip(REGIONS, label_to_regions(label, label_scheme).flatten(1).tolist(), strict=True))
    assert regions == {"tc": [0, 1, 0, 1], "wt": [0, 1, 1, 1], "et": [0, 0, 0, 1]}


@pytest.mark.parametrize("label_scheme", LABEL_SCHEMES)
def test_label_survives_the_way_to_regions_and_back(label_scheme: str) -> None:
    values = torch.tensor([0, *scheme_labels(label_scheme).values()])
    label = values[torch.randint(0, 4, (1, 3, 4, 5), generator=torch.Generator().manual_seed(0))]
    again = regions_to_label(label_to_regions(label, label_scheme), label_scheme)
    assert again.dtype == torch.uint8
    assert torch.equal(again, label.to(torch.uint8))


def test_channel_axis_of_a_label_is_optional() -> None:
    label = torch.tensor([0, 1, 2, 4]).reshape(1, 4, 1, 1)
    assert torch.equal(label_to_regions(label), label_to_regions(label[0]))


def test_smaller_region_wins_where_predictions_are_not_nested() -> None:
    only_et = torch.tensor([0, 0, 1]).reshape(3, 1, 1, 1)
    assert regions_to_label(only_et).item() == 4


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (1.5, "1.5")])
def test_label_of_another_scheme_is_refused_not_made_background(value: float, shown: str) -> None:
    label = torch.tensor([0, value]).reshape(2, 1, 1)
    with pytest.raises(InputError, match=rf"label value {shown} is not in scheme 'brats2018' \(0 and \[1, 2, 4\]\)"):
        label_to_regions(label, "brats2018")


def test_unknown_scheme_is_refused_with_the_choices() -> None:
    with pytest.raises(InputError, match="unknown label_scheme 'brats': choose among brats2018, brats2023, msd"):
        scheme_labels("brats")
