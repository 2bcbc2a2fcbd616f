"""Where the programs of the cluster come from.

In order: `KUBEBUILDER_ASSETS` (what setup-envtest fetches), PATH, what was built before, and else
a build from Go modules at the versions that `multicall/go.mod` pins and `multicall/go.sum` checks.
All of them come from one source, so that their versions agree.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .paths import cache_dir
from .progress import ClusterError, locked, run, say, step

CONTROL_PLANE = ("etcd", "kube-apiserver")
CONTROLLERS = ("kube-controller-manager",)
NODE = ("kube-scheduler", "kubelet", "kube-proxy")
HELM_VERSION = "3.22.0"
HELM_DOCS_VERSION = "1.14.2"
KUBECONFORM_VERSION = "0.8.0"
KUBE_SCORE_VERSION = "1.20.0"

Programs = Mapping[str, Path]

_SOURCES = Path(__file__).parent / "multicall"
_KUEUE = Path(__file__).parent / "kueue"
_KUEUE_PACKAGE = "sigs.k8s.io/kueue/cmd/kueue"
_LINKED = (*CONTROL_PLANE, *CONTROLLERS, *NODE, "kubectl")


def kubernetes_version() -> str:
    """The version that a build gives, such as `1.34.4`."""
    return _required("k8s.io/kubernetes", _SOURCES)


def provide(names: Sequence[str]) -> Programs:
    """Finds programs, and builds them if they are nowhere.

    Args:
        names: The programs wanted.

    Returns:
        The path of each.

    Raises:
        ClusterError: They are nowhere and cannot be built.
    """
    for folder in _folders():
        found = _all_in(folder, names)
        if found is not None:
            return found
    found = _all_on_path(names)
    if found is not None:
        return found
    return {name: build() / name for name in names}


def kubectl() -> Path:
    """Finds kubectl: any recent one does, so PATH comes first."""
    on_path = shutil.which("kubectl")
    return Path(on_path) if on_path else provide(["kubectl"])["kubectl"]


def unavailable(names: Sequence[str]) -> str | None:
    """Says why these programs cannot be had, or None when they can."""
    at_hand = any(_all_in(folder, names) for folder in _folders()) or _all_on_path(names)
    if at_hand or _all_in(_built(), names) or shutil.which("go"):
        return None
    return (
        f"{', '.join(names)}: neither in KUBEBUILDER_ASSETS, nor on PATH, nor built before, "
        "and there is no Go to build them"
    )


def build() -> Path:
    """Builds every program as one binary, unless that was done before.

    Returns:
        The folder that has a link for each program.
    """
    folder = _built()
    if _all_in(folder, _LINKED):
        return folder
    if shutil.which("go") is None:
        raise ClusterError(str(unavailable(_LINKED)))
    with locked(cache_dir() / "build.lock"):
        if _all_in(folder, _LINKED):
            return folder
        version = kubernetes_version()
        compile = ["go", "build", "-trimpath"]
        say(f"building Kubernetes {version} from Go modules: 4 to 8 minutes on 2 cores, once")
        with step(f"built Kubernetes {version}"), _unfinished(folder) as partial:
            run(
                [*compile, f"-ldflags={_link_flags(version)}", "-o", partial / "multicall", "."],
                what="building Kubernetes",
                log=cache_dir() / "build.log",
                env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"},
                cwd=_SOURCES,
            )
            for name in _LINKED:
                (partial / name).symlink_to("multicall")
    return folder


def kueue() -> Path:
    """Builds Kueue, unless that was done before.

    Returns:
        A folder with the program `kueue`, and in `config` the manifests of the same version.
    """
    version = _required("sigs.k8s.io/kueue", _KUEUE)
    folder = cache_dir() / "binaries" / f"kueue-{version}-{_digest(_KUEUE)}"
    if folder.exists():
        return folder
    if shutil.which("go") is None:
        raise ClusterError("Kueue is not built, and there is no Go to build it")
    with locked(cache_dir() / "build.lock"):
        if not folder.exists():
            with step(f"built Kueue {version}"), _unfinished(folder) as partial:
                env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"}
                output = ["-trimpath", "-ldflags=-s -w", "-o", partial / "kueue"]
                run(
                    ["go", "build", *output, _KUEUE_PACKAGE],
                    what="building Kueue",
                    log=cache_dir() / "build-kueue.log",
                    env=env,
                    cwd=_KUEUE,
                )
                where = ["go", "list", "-m", "-f={{.Dir}}", "sigs.k8s.io/kueue"]
                module = run(where, what="finding Kueue's module", env=env, cwd=_KUEUE).strip()
                shutil.copytree(Path(module) / "config/components", partial / "config")
                for copied in partial.rglob("*"):
                    copied.chmod(0o755)  # the module cache is read-only, this one is cleared
    return folder


def helm() -> Path:
    """Finds helm on PATH or in the cache, and builds it if it is nowhere."""
    on_path = shutil.which("helm")
    if on_path:
        return Path(on_path)
    return _installed("helm", HELM_VERSION, "helm.sh/helm/v3/cmd/helm")


def tools_unavailable() -> str | None:
    """Says why helm and the other tools for the chart cannot be had, or None when they can."""
    return None if shutil.which("go") else "helm and helm-docs: there is no Go to build them"


def kubeconform() -> Path:
    """Finds kubeconform in the cache, and builds it if it is not there."""
    package = "github.com/yannh/kubeconform/cmd/kubeconform"
    return _installed("kubeconform", KUBECONFORM_VERSION, package)


def kube_score() -> Path:
    """Finds kube-score in the cache, and builds it if it is not there."""
    package = "github.com/zegl/kube-score/cmd/kube-score"
    return _installed("kube-score", KUBE_SCORE_VERSION, package)


def helm_docs() -> Path:
    """Finds helm-docs in the cache, and builds it if it is not there."""
    package = "github.com/norwoodj/helm-docs/cmd/helm-docs"
    return _installed("helm-docs", HELM_DOCS_VERSION, package)


def _installed(name: str, version: str, package: str) -> Path:
    folder = cache_dir() / "binaries" / f"{name}-{version}"
    if (folder / name).exists():
        return folder / name
    with locked(cache_dir() / "build.lock"):
        if not (folder / name).exists():
            with step(f"built {name} {version}"), _unfinished(folder) as partial:
                run(
                    ["go", "install", f"{package}@v{version}"],
                    what=f"building {name}",
                    log=cache_dir() / f"build-{name}.log",
                    env={**os.environ, "CGO_ENABLED": "0", "GOBIN": str(partial)},
                )
    return folder / name


class _unfinished:
    """A folder that gets its name only when its content is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Path:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        for left in self._folder.parent.glob(".unfinished-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a build that was cut off
        self._partial = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self._folder.parent))
        return self._partial

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._partial.chmod(0o755)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._partial.rename(self._folder)
        else:
            shutil.rmtree(self._partial, ignore_errors=True)


def _built() -> Path:
    name = f"kubernetes-{kubernetes_version()}-{_digest(_SOURCES)}"
    return cache_dir() / "binaries" / name


def _digest(sources: Path) -> str:
    """Names what a build is made from."""
    digest = hashlib.sha256(f"{platform.system()}/{platform.machine()}".encode())
    for name in ("main.go", "go.mod", "go.sum"):
        if (sources / name).exists():
            digest.update((sources / name).read_bytes())
    return digest.hexdigest()[:12]


def _required(module: str, sources: Path) -> str:
    """The version of a module that a go.mod requires."""
    found = re.search(rf"{re.escape(module)} v([0-9.]+)", (sources / "go.mod").read_text())
    if found is None:
        raise ClusterError(f"{sources / 'go.mod'} does not require {module}")
    return found[1]


def _link_flags(version: str) -> str:
    major, minor, _ = version.split(".")
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    return " ".join(
        ["-s -w"]
        + [
            f"-X {package}/version.{key}={value}"
            for package in ("k8s.io/component-base", "k8s.io/client-go/pkg")
            for key, value in facts.items()
        ]
    )


def _folders() -> list[Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return [Path(assets).absolute()] if assets else []


def _all_in(folder: Path, names: Sequence[str]) -> Programs | None:
    found = {name: folder / name for name in names}
    return found if all(os.access(path, os.X_OK) for path in found.values()) else None


def _all_on_path(names: Sequence[str]) -> Programs | None:
    found = {name: Path(path) for name in names if (path := shutil.which(name))}
    return found if len(found) == len(names) else None
