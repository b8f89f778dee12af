"""A short run of `benchmarks/fuzz_import.py`: damaged files of weights run nothing and crash nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "fuzz_import.py"


def test_damaged_files_run_nothing_and_crash_nothing() -> None:
    """In a process of its own, since its audit hook can't be removed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--cases", "84", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row.split("|")[1:-1] for row in done.stdout.splitlines() if row.startswith("| ")]
    assert [cell.strip() for cell in rows[0]] == ["mutation", "refused", "valid"]
    counts = [[int(cell) for cell in row[1:]] for row in rows[1:]]
    assert sum(map(sum, counts)) == 84 and all(refused > 5 for refused, _ in counts)


def test_the_watch_notices_code_that_runs(tmp_path: Path) -> None:
    """The table is worth something only if code would be noticed."""
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import fuzz_import
sys.addaudithook(fuzz_import.watch)
fuzz_import.watched = []
exec("1")
open("noticed.txt", "w").close()
import os; os.system("true")
events = " ".join(fuzz_import.watched)
fuzz_import.watched = None
assert "exec" in events and "noticed.txt" in events and "os.system" in events, events
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
