"""Where a method gains is said by the volumes of its test cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from experiments.by_volume import Gain, main
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json
from pkdr_monai.phantom import write_cohort
from pkdr_monai.studies import read_study
from tests.studies.results.conftest import write_study


def test_a_gain_is_that_of_the_cases_in_the_order_of_their_tumours(tmp_path: Path) -> None:
    scores = read_study(write_study(tmp_path / "study", modalities=("t2",), cases=12)).scores
    method, base = scores["table1/pkdr", "t2"], scores["table1/unimodal", "t2"]
    volumes = {case: float((7 * number) % 12) for number, case in enumerate(base.cases)}
    gain = Gain.of(method, base, volumes)
    differences = {
        case: 100 * float(np.mean(method.dice[:, place, 3]) - np.mean(base.dice[:, place, 3]))
        for place, case in enumerate(base.cases)
    }
    ordered = sorted(differences, key=lambda case: volumes[case])
    assert gain.small == pytest.approx(np.mean([differences[case] for case in ordered[:6]]))
    assert gain.large == pytest.approx(np.mean([differences[case] for case in ordered[6:]]))
    assert gain.every == pytest.approx((gain.small + gain.large) / 2)
    expected = spearmanr([volumes[case] for case in ordered], [differences[case] for case in ordered])
    assert (gain.correlation, gain.p) == pytest.approx((expected.statistic, expected.pvalue))
    with pytest.raises(InputError, match="no label of test case Phantom18_0003_1"):
        Gain.of(method, base, {case: 1.0 for case in base.cases if case != "Phantom18_0003_1"})


def test_the_table_has_every_method_of_the_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, study = tmp_path / "data", write_study(tmp_path / "study", modalities=("t2",), cases=4)
    write_cohort(data, cases=4, shape=(40, 40, 32), spacing=(6.0, 6.0, 6.0))
    names = sorted(path.name for path in data.glob("*/*") if path.is_dir())
    for path in (study / "runs").glob("*.json"):
        record = read_json(path)
        write_json(path, {**record, "cases": dict(zip(names, record["cases"].values(), strict=True))})
    assert main([str(study), str(data)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("4 test cases, whole tumour of ")
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")] == [
        *("method", "U-HVED", "KD-Net", "PMKL", "ProtoKD", "PKDR")
    ]
    with pytest.raises(InputError, match="has no result of table1/unimodal on flair"):
        main([str(study), str(data), "--modality", "flair"])
