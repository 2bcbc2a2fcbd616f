"""The trained model's place. Whoever finds a model there finds a whole one, of a finished run."""

import shutil
from collections.abc import Callable
from pathlib import Path


def publish(save: Callable[[Path], None], target: Path) -> None:
    """Write a folder under another name first, then give it its own.

    Args:
        save: Writes the files into the folder that it is given.
        target: Where they belong. What is there from an earlier run is replaced.
    """
    try:
        staging = _fresh(target.with_name(f".{target.name}.incomplete"))
        save(staging)
        if target.exists():
            shutil.rmtree(target)
        staging.replace(target)
    except OSError:
        # A volume mounted right there: its parent is read-only, or it can't be replaced. Without
        # the configuration, which comes last, no reader takes it for a model.
        shutil.rmtree(target.with_name(f".{target.name}.incomplete"), ignore_errors=True)
        staging = _fresh(target / ".incomplete")
        save(staging)
        (target / "config.json").unlink(missing_ok=True)
        for item in sorted(staging.iterdir(), key=lambda item: item.name == "config.json"):
            item.replace(target / item.name)
        staging.rmdir()


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
