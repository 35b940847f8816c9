"""What a labelling tool does, with MONAI Label's own client; it runs in the environment of MONAI Label.

Its last line is JSON: the segmentations before and after the training, and the names of the labels.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

SEGMENT = {"device": "cpu", "result_extension": ".nii.gz"}
TRAIN = {"device": "cpu", "max_epochs": 2, "val_split": 0.2, "multi_gpu": False}


def main(address: str, model: str, folder: Path, scans: list[str]) -> None:
    """Segment, hand labels over, train, and segment again; the last scan is the T2 of the one before it.

    A scan by itself is only segmented.
    """
    client = MONAILabelClient(address, tmpdir=str(folder))  # not the server's, which clears up what it has sent
    _wait_for(client)
    before = [_segment(client, model, scan, folder / "before") for scan in scans[-2:]]
    if len(scans) == 1:
        sys.stdout.write(json.dumps({"before": before}) + "\n")
        return
    for scan in scans[:-1]:
        client.save_label(scan, str(folder / f"{scan}_label.nii.gz"), "final", {})
    client.train_start(model, TRAIN)
    while client.train_status().get("status") in ("SUBMITTED", "PENDING", "RUNNING"):
        time.sleep(1)
    status = client.train_status()
    if status["status"] != "DONE":
        sys.exit(f"the training ended as {status['status']}: {status.get('details')}")
    after = _segment(client, model, scans[-1], folder / "after")
    labels = client.info()["models"][model]["labels"]
    sys.stdout.write(json.dumps({"before": before, "after": after, "labels": labels, "cases": len(scans) - 1}) + "\n")


def _segment(client: MONAILabelClient, model: str, scan: str, folder: Path) -> str:
    """Ask for a segmentation and return where it was put."""
    written, _ = client.infer(model, scan, SEGMENT)
    folder.mkdir(exist_ok=True)
    return str(shutil.move(written, folder / f"{scan}_served.nii.gz"))


def _wait_for(client: MONAILabelClient) -> None:
    for _ in range(120):
        try:
            client.info()
            return
        except (OSError, MONAILabelClientException):
            time.sleep(1)
    sys.exit("the server does not answer")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
