from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from pkdr_monai.errors import InputError, RunError, install_error_hooks, plain_error_in


def run(statement: str) -> subprocess.CompletedProcess[str]:
    names = "InputError, Interruption, RunError, install_error_hooks"
    code = f"from pkdr_monai.errors import {names}\ninstall_error_hooks()\n{statement}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    "statement",
    [
        "raise InputError('no such case')",
        "try:\n    raise InputError('no such case')\nexcept InputError as e:\n    raise RuntimeError('wrapped') from e",
        "try:\n    raise InputError('no such case')\nexcept InputError:\n    raise RuntimeError('while handling it')",
    ],
)
def test_input_error_ends_the_process_with_one_sentence_and_2(statement: str) -> None:
    ended = run(statement)
    assert (ended.returncode, ended.stderr, ended.stdout) == (2, "error: no such case\n", "")


def test_a_run_that_cannot_go_on_ends_with_one_sentence_and_1() -> None:
    ended = run("raise RunError('the loss is nan')")
    assert (ended.returncode, ended.stderr) == (1, "error: the loss is nan\n")


def test_ctrl_c_ends_with_one_line_and_130() -> None:
    ended = run("raise Interruption('in epoch 3.')")
    assert (ended.returncode, ended.stderr) == (130, "interrupted in epoch 3.\n")


def test_an_interruption_within_eval_ends_a_module_with_130_too(tmp_path: Path) -> None:
    """A bare ``KeyboardInterrupt`` does not: Python then kills the process by SIGINT."""
    (tmp_path / "stopped.py").write_text(
        "import sys\nfrom pkdr_monai.errors import Interruption\ndef stop(): raise Interruption\n"
        "try: eval('stop()')\nexcept KeyboardInterrupt: sys.exit(130)\n"
    )
    words = [sys.executable, "-m", "stopped"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    assert subprocess.run(words, cwd=tmp_path, env=environment, check=False).returncode == 130


def test_a_thread_that_finds_the_disk_full_leaves_no_traceback() -> None:
    code = "import threading\ndef fail(): raise OSError(28, 'No space left on device', b'events')\n"
    ended = run(f"{code}thread = threading.Thread(target=fail)\nthread.start()\nthread.join()")
    assert (ended.returncode, ended.stderr.startswith("cannot use events: No space left on device.")) == (0, True)
    assert "Traceback" in run(code.replace("28", "22") + "threading.Thread(target=fail).start()").stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_and_a_closed_folder_are_plain_errors_whoever_met_them(number: int) -> None:
    wrapped = RuntimeError("cannot write")
    wrapped.__context__ = OSError(number, "what is wrong", "runs/a")
    assert "cannot use runs/a: what is wrong." in str(plain_error_in(wrapped))


def test_a_file_where_a_folder_should_be_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file") as failure:
        (tmp_path / "file" / "folder").mkdir(parents=True)
    assert re.fullmatch(r"cannot use .*file.*: .*\. Choose another path\.", str(plain_error_in(failure.value)))


def test_other_errors_of_the_system_are_not() -> None:
    assert plain_error_in(OSError(errno.EINVAL, "invalid")) is None


class _Cases(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        raise InputError("case a is unreadable.")


def test_what_a_data_worker_reports_arrives_as_it_was_said() -> None:
    with pytest.raises(InputError) as caught:
        list(DataLoader(_Cases(), num_workers=1))
    foreign = RuntimeError(f"Caught RuntimeError in DataLoader worker process 0.\n{caught.value}")
    plain = plain_error_in(foreign)
    assert (type(plain), str(plain)) == (InputError, "case a is unreadable.")


class _Chained(_Cases):
    def __getitem__(self, index: int) -> torch.Tensor:
        try:
            raise InputError("a.nii cannot be read.")
        except InputError as error:
            raise InputError("case a: a.nii cannot be read.") from error


def test_of_a_chain_that_a_data_worker_reports_the_outermost_counts() -> None:
    with pytest.raises(InputError) as caught:
        list(DataLoader(_Chained(), num_workers=1))
    foreign = RuntimeError(f"Caught RuntimeError in DataLoader worker process 0.\n{caught.value}")
    assert str(plain_error_in(foreign)) == "case a: a.nii cannot be read."


def test_a_data_worker_that_was_killed_is_a_plain_error() -> None:
    killed = RuntimeError("DataLoader worker (pid 4321) is killed by signal: Killed. ")
    assert isinstance(plain_error_in(killed), RunError)
    gone = RuntimeError("DataLoader worker (pid(s) 4321) exited unexpectedly")
    assert "--num_workers" in str(plain_error_in(gone))


def test_other_errors_keep_their_traceback() -> None:
    ended = run("raise KeyError('x')")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "KeyError: 'x'" in ended.stderr


def test_hook_is_set_only_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    install_error_hooks()
    assert sys.excepthook is not sys.__excepthook__


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_message_that_a_stream_cannot_write_does_not_end_the_work(encoding: str) -> None:
    code = (
        "import logging, os, sys; from pkdr_monai.errors import install_error_hooks; install_error_hooks(); "
        "logging.basicConfig(stream=sys.stdout); "
        r"name = 'Łukasz ± ' + os.fsdecode(b'caf\xe9_t2.nii.gz'); "
        "print(name); sys.stderr.write(name); logging.getLogger('pkdr_monai').warning(name)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert b"Logging error" not in result.stderr
    assert result.stdout.count(b"ukasz") == 2
    assert b"ukasz" in result.stderr
