"""The command line with a terminal that closes, can't encode or was never there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import pytest

import gantl_zoo as gz
from gantl_zoo.cli.app import main
from gantl_zoo.cli.output import Forgiving
from gantl_zoo.console import say
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.training import checkpoint
from gantl_zoo.training.interrupt import Interrupt

TRAIN = ["train", "dcgan", "--image-size", "28", "--channels", "1", "--metrics", "none", "--precision",
         "fp32", "--batch", "4", "--log-every", "1", "--generator-arg", "width=4"]  # fmt: skip
RUN = "00000-dcgan-photos"


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `gantl-zoo` is ours; the exit code is the first command's."""
    ours = f'gantl-zoo() {{ "{sys.executable}" -m gantl_zoo "$@"; }}'
    return subprocess.run(
        ["bash", "-c", f'{ours}; {line}; exit "${{PIPESTATUS[0]}}"'],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | environment,
    )


@pytest.mark.parametrize("words", ["list", "--help", "info dcgan-mnist"])
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_leaves_is_no_error(words: str, reader: str) -> None:
    done = shell(f"gantl-zoo {words} | {reader}")
    assert done.returncode == 0 and not done.stderr


def test_results_that_a_full_disk_loses_are_an_error() -> None:
    done = shell("gantl-zoo list > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: can't write to standard output: No space left on device\n"


@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-"])
def test_errors_never_go_to_standard_output(closed: str) -> None:
    done = shell(f"gantl-zoo info zzz {closed}")
    assert done.returncode == 2 and not done.stdout + done.stderr


def test_standard_output_may_be_closed() -> None:
    done = shell("gantl-zoo list >&- | cat")
    assert done.returncode == 0 and not done.stdout + done.stderr


def test_the_module_is_the_command() -> None:
    done = shell("gantl-zoo sample --help")
    assert "Usage: gantl-zoo sample" in done.stdout and done.returncode == 0


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_a_terminal_cant_encode_is_escaped(encoding: str, tmp_path: Path) -> None:
    target = tmp_path / "日本"
    done = shell(f"gantl-zoo info '{target}'; exit $?", PYTHONIOENCODING=encoding)
    assert done.returncode == 2 and "\\u65e5\\u672c" in done.stderr and "unexpected" not in done.stderr
    target.symlink_to(Path(gz.__file__).parent / "released" / "dcgan-mnist")
    done = shell(f"gantl-zoo info '{target}'; exit $?", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and not done.stderr
    assert "\\u65e5\\u672c:" in done.stdout and "dcgan GAN" in done.stdout
    assert shell("gantl-zoo transfer --help; exit $?", PYTHONIOENCODING=encoding).returncode == 0


def test_a_callers_stream_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(SystemExit):
        main(["info", "caf\udce9\x1b[31m"])
    assert (sys.stdout, sys.stderr) == before and "caf\\xe9\\x1b[31m" in capsys.readouterr().err


def in_broken_pipe(*words: str) -> None:
    """The command line; both of its streams go to a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.close(reader)
    main(list(words))


def without_stderr(stdout: Path, *words: str) -> None:
    os.dup2(os.open(stdout, os.O_CREAT | os.O_WRONLY), 1)
    os.close(2)
    sys.stderr = sys.__stderr__ = None  # type: ignore[assignment,misc]  # as the interpreter does
    main(list(words))


def test_a_run_goes_on_when_nobody_reads_its_log(photos: Path, tmp_path: Path) -> None:
    words = [*TRAIN, "--data", str(photos), "--out", str(tmp_path), "--steps", "6", "--checkpoint-every", "3"]
    process = children.start(in_broken_pipe, *words)
    process.join(60)
    run = tmp_path / RUN
    assert process.exitcode == 0 and (run / "model" / "config.json").is_file()
    assert [path.name for path in checkpoint.saved(run)][-2:] == ["00000003", "00000006"]
    assert "done: kept the model of step 6" in (run / "log.txt").read_text()


def test_standard_output_holds_results_only(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [*TRAIN, "--data", str(photos), "--out", str(tmp_path), "--steps", "2"]
    process = children.start(without_stderr, out, *words)
    process.join(60)
    assert process.exitcode == 0 and out.read_text() == f"{tmp_path / RUN}\n"
    assert "done: kept the model of step 2" in (tmp_path / RUN / "log.txt").read_text()


def hung_up(ignored: bool, *words: str) -> None:
    """As under nohup, or not: the tests themselves may run either way."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    in_broken_pipe(*words)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_lost_terminal_ends_a_run_with_a_checkpoint(photos: Path, tmp_path: Path, ignored: bool) -> None:
    words = [*TRAIN, "--data", str(photos), "--out", str(tmp_path), "--steps", "60" if ignored else "100000"]
    process = children.start(hung_up, ignored, *words)
    run = tmp_path / RUN
    stats = run / "stats.jsonl"
    while not stats.is_file() or '"step": 1,' not in stats.read_text():
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGHUP)  # type: ignore[arg-type]
    process.join(60)
    newest = int(checkpoint.saved(run)[-1].name)
    log = (run / "log.txt").read_text()
    if ignored:
        assert process.exitcode == 0 and newest == 60 and "stopped" not in log
    else:
        assert process.exitcode == 130 and newest > 0
        hint = f"stopped at step {newest}; continue with gantl-zoo resume {run}"
        assert log.strip().endswith(hint)


def test_a_second_hangup_is_the_shells_and_leaves_nothing_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantl_zoo.training.interrupt.TWICE", -1.0)
    outside = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with Interrupt() as asked:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert asked.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.signal(signal.SIGHUP, outside) is signal.SIG_DFL


class Broken:
    encoding = "utf-8"

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0

    def write(self, text: str) -> None:
        self.tries += 1
        raise self.error

    def flush(self) -> None: ...


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed")])
def test_a_python_callers_log_goes_on_without_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stream = Broken(error)
    monkeypatch.setattr(sys, "stderr", stream)
    folder = RunFolder(tmp_path)
    folder.log("one")
    folder.log("two")
    assert stream.tries == 1 and (tmp_path / "log.txt").read_text() == "one\ntwo\n"


def test_a_line_without_standard_error_is_lost_not_a_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert not say("a line")
    assert capsys.readouterr().out == ""


def test_bytes_for_a_closed_pipe_are_dropped() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with Forgiving(writer, "wb") as stream:
        assert [stream.write(b"abc"), stream.write(memoryview(b"de"))] == [3, 2]
        assert isinstance(stream.lost, BrokenPipeError)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian"], "train"),
        (["train", "dcgan", "--stepz", "3"], "unknown option '--stepz'; did you mean --steps"),
        (["train", "dcgan", "--stpes", "3"], "unknown option '--stpes'; did you mean --steps"),
    ],
)
def test_a_misspelt_word_gets_a_suggestion(
    capsys: pytest.CaptureFixture[str], words: list[str], hint: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and hint in error


def test_list_json_is_json_in_any_encoding() -> None:
    done = shell("gantl-zoo list --json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)
