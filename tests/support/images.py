"""The images that the tests on a cluster run: the controller's, and the trial's with data in it.

Each is made by its own Dockerfile, on the stand-in for its public base image.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.testcluster import images

ROOT = Path(__file__).parents[2]
VERSION = "0.1.0"
CONTROLLER = f"localhost/kubestudy-controller:{VERSION}"
TRIAL = f"localhost/kubestudy-trial:{VERSION}"
TRIAL_WITH_DATA = f"localhost/kubestudy-trial-with-data:{VERSION}"

_ON_THE_STAND_IN = {"BASE_IMAGE": images.BASE}


def controller() -> images.Image:
    """The controller."""
    dockerfile = ROOT / "controller/Dockerfile"
    return images.from_dockerfile(dockerfile, ROOT, CONTROLLER, _ON_THE_STAND_IN)


def trial_with_data() -> images.Image:
    """The trial with the example data; what it is made from is built: minutes, the first time."""
    data = ROOT / "data"
    prepare = [sys.executable, str(ROOT / "manifests/examples/prepare_data.py"), str(data)]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    context = ROOT / "trial_image"
    images.build(images.from_dockerfile(context / "Dockerfile", context, TRIAL, _ON_THE_STAND_IN))
    dockerfile = ROOT / "tests/e2e/Dockerfile.trial-with-data"
    return images.from_dockerfile(dockerfile, data, TRIAL_WITH_DATA, {"TRIAL_IMAGE": TRIAL})
