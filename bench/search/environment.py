"""The bench's own Python environment, which nothing else uses."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-bench"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
_READY = FOLDER / "requirements.txt"


def enter() -> None:
    """Makes the environment if it is not there, and goes on in it in place of this process."""
    if Path(sys.prefix) == FOLDER:
        return
    python = FOLDER / "bin/python"
    wanted = REQUIREMENTS.read_text()
    if not _READY.exists() or _READY.read_text() != wanted:
        print(f"bench: installing the peers into {FOLDER.name}", file=sys.stderr)
        venv.create(FOLDER, with_pip=True, symlinks=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q"]
        subprocess.run([*pip, "-r", REQUIREMENTS], check=True)
        _READY.write_text(wanted)
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    path = os.pathsep.join([str(ROOT / "controller"), str(ROOT)])
    environ = os.environ | one_thread | {"PYTHONPATH": path}
    os.execve(python, [str(python), "-m", "bench.search", *sys.argv[1:]], environ)
