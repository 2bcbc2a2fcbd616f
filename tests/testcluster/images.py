"""Container images without a registry: built by buildah, imported into containerd.

Each image knows a digest of everything that it is made from, so that what has not changed is
neither built nor imported again. buildah works in a storage of its own, which we may prune freely.
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import packages
from .mounts import remove_tree
from .paths import cache_dir
from .progress import ClusterError, locked, run, say, step

if TYPE_CHECKING:
    from .node import Node

BUSYBOX = "localhost/busybox:1"
BASE = "localhost/kubestudy-base-python:bookworm"

_SUITE = "bookworm"
_BASE_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
# What Debian's own slim images leave out, as the public base image is made from one.
_SLIM = ("doc", "man", "info", "locale", "lintian", "groff")
_LABEL = "kubestudy.dev/inputs"
# A trial image with torch takes about this much on its way into the node.
_SHORT_OF_DISK = 30 * 1024**3


@dataclass(frozen=True)
class Image:
    """An image that can be built here.

    Attributes:
        tag: Its name; `localhost/...`, since there is no registry to push to.
        digest: A hash of everything that it is made from.
        make: Builds it into buildah's storage, with a folder to work in.
    """

    tag: str
    digest: str
    make: Callable[[Path], None]


def from_dockerfile(
    dockerfile: Path, context: Path, tag: str, build_args: Mapping[str, str] | None = None
) -> Image:
    """An image that a Dockerfile describes.

    Its digest covers the Dockerfile, what this copies from the context, the build arguments and
    the identity of local base images. Our own base image is built if it is named.

    Args:
        dockerfile: The Dockerfile.
        context: The folder that it copies from.
        tag: The image's name.
        build_args: Its build arguments.
    """
    build_args = dict(build_args or {})
    text = dockerfile.read_text()
    if BASE in f"{text} {build_args}":
        build(base())
    digest = hashlib.sha256(json.dumps([text, sorted(build_args.items())]).encode())
    for path in _copied(text, context):
        digest.update(f"{path.relative_to(context)}:{path.stat().st_mode & 0o111}:".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for parent in sorted(set(re.findall(r"localhost/[\w./:@-]+", f"{text} {build_args}"))):
        digest.update(f"{parent}={_id(parent)}".encode())
    made_from = digest.hexdigest()

    def make(work: Path) -> None:
        _bud(work, dockerfile, context, tag, made_from, build_args)

    return Image(tag, made_from, make)


def busybox() -> Image:
    """A small image of static busybox, with a shell; what it runs by itself is a long sleep.

    It also is the sandbox of every pod, in place of the usual pause image.
    """
    packages.install(packages.IMAGES)
    program = Path(packages.IMAGES["busybox-static"])
    dockerfile = (
        'FROM scratch\nCOPY rootfs/ /\nENV PATH=/bin\nCMD ["/bin/sleep", "infinity"]\n'
    )  # fmt: skip
    digest = hashlib.sha256(dockerfile.encode() + program.read_bytes()).hexdigest()

    def make(work: Path) -> None:
        root = work / "rootfs"
        for folder in ("bin", "etc", "root", "tmp"):
            (root / folder).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (root / "etc" / "group").write_text("root:x:0:\n")
        shutil.copy(program, root / "bin" / "busybox")
        for applet in run([program, "--list"], what="busybox").split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        (work / "Dockerfile").write_text(dockerfile)
        _bud(work, work / "Dockerfile", work, BUSYBOX, digest, {})

    return Image(BUSYBOX, digest, make)


def base() -> Image:
    """A stand-in for the public Python base image of a Dockerfile: a minimal Debian with Python.

    Give its tag as the build argument that names the base.
    """
    packages.install({**packages.IMAGES, **packages.BASE_IMAGE})
    dockerfile = 'FROM scratch\nADD rootfs.tar /\nENV LANG=C.UTF-8\nCMD ["python3"]\n'
    contents = f"{dockerfile} {_SUITE} {_BASE_PACKAGES} without {' '.join(_SLIM)}"
    digest = hashlib.sha256(contents.encode()).hexdigest()

    def make(work: Path) -> None:
        root = work / "rootfs"
        command = ["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", _SUITE]
        run([*command, root, _mirror()], what="debootstrap", log=cache_dir() / "debootstrap.log")
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
            remove_tree(root / folder)
            (root / folder).mkdir()
        for folder in _SLIM:
            remove_tree(root / "usr/share" / folder)
        # A tar keeps the owners, which COPY would make root.
        tar = ["tar", "--directory", str(root), "--exclude=./dev/*", "--exclude=./proc/*"]
        run([*tar, "--create", "--file", work / "rootfs.tar", "."], what="tar")
        remove_tree(root)
        (work / "Dockerfile").write_text(dockerfile)
        _bud(work, work / "Dockerfile", work, BASE, digest, {})

    return Image(BASE, digest, make)


def build(image: Image) -> None:
    """Builds an image into buildah's storage, unless it is there as it would be built."""
    packages.install(packages.IMAGES)
    with locked(_lock()):
        _build(image)


def provide(image: Image, node: Node) -> str:
    """Builds an image and imports it into the node, each unless that was done before.

    Returns:
        The image's tag.
    """
    packages.install(packages.IMAGES)
    if _imported(image, node):
        return image.tag  # without waiting for whoever builds another image
    with locked(_lock()):
        if not _imported(image, node):
            _build(image)
            _import(image, node)
    return image.tag


def purge() -> None:
    """Removes every image and layer that was built here."""
    remove_tree(_storage())


def _build(image: Image) -> None:
    if _label(image.tag) != image.digest:
        if _short_of_disk():
            _prune()
        with step(f"built {image.tag}"):
            _in_folder(image.make)


def _imported(image: Image, node: Node) -> bool:
    labels = node.image_labels(image.tag) or {}
    return labels.get(_LABEL) == image.digest


def _import(image: Image, node: Node) -> None:
    def transfer(work: Path) -> None:
        archive = work / "image.tar"
        _buildah("push", "--quiet", "--disable-compression", image.tag,
                 f"oci-archive:{archive}:{image.tag}")  # fmt: skip
        node.ctr("images", "import", archive)
        node.ctr("images", "label", image.tag, f"{_LABEL}={image.digest}")

    with step(f"imported {image.tag}"):
        _in_folder(transfer)
    if _short_of_disk():
        _buildah("rmi", "--force", image.tag)
        _prune()


def _prune() -> None:
    """Removes older builds and the stages of multi-stage ones.

    With them goes what makes a second build quick, so this is not done without need. Room that
    cannot be made is no reason to fail: the disk may still do.
    """
    try:
        _buildah("rm", "--all")  # of builds that were cut off: nobody else has the lock
        _buildah("rmi", "--prune")
    except ClusterError as error:
        say(f"older images were not removed: {error}")


def _short_of_disk() -> bool:
    return shutil.disk_usage(cache_dir()).free < _SHORT_OF_DISK


def _in_folder(work: Callable[[Path], None]) -> None:
    """Runs with a folder to work in, on the cache's disk, since /tmp may be small."""
    for left in cache_dir().glob("image-*"):
        remove_tree(left)  # of a run that was cut off: nobody else has the lock
    folder = Path(tempfile.mkdtemp(prefix="image-", dir=cache_dir()))
    try:
        work(folder)
    finally:
        remove_tree(folder)


def _lock() -> Path:
    return cache_dir() / "images.lock"


def _storage() -> Path:
    return cache_dir() / "buildah"


def _buildah(*words: str | Path, log: Path | None = None) -> str:
    storage = _storage()
    command = ["buildah", "--root", storage / "root", "--runroot", storage / "run", *words]
    return run(command, what=f"buildah {words[0]}", log=log)


def _bud(
    work: Path, dockerfile: Path, context: Path, tag: str, digest: str, args: Mapping[str, str]
) -> None:
    _buildah(
        "bud", "--layers", "--isolation", "chroot", "--network", "host",
        "--label", f"{_LABEL}={digest}", "--tag", tag, "--file", dockerfile,
        *_machine_settings(work),
        *(word for name, value in args.items() for word in ("--build-arg", f"{name}={value}")),
        context,
        log=cache_dir() / f"build-{re.sub('[^a-z0-9]+', '-', tag)}.log",
    )  # fmt: skip


def _machine_settings(work: Path) -> list[str]:
    """This machine's own certificates and pip settings, mounted while building, never copied."""
    mounts = []
    roots = Path("/etc/ssl/certs")
    if roots.is_dir() and {"SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT"} & os.environ.keys():
        mounts.append(roots)
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings = {}
    for name, value in re.findall(r"^(?:global|:env:)\.([\w-]+)=(.+)$", listed, re.MULTILINE):
        settings[name] = ast.literal_eval(value)
    folder = settings.get("find-links", "")
    if folder and Path(folder).is_dir():
        mounts.append(Path(folder))
    options = [word for path in mounts for word in ("--volume", f"{path}:{path}:ro")]
    if settings:
        pip = work / "pip.conf"
        pip.write_text("[global]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))
        options += ["--volume", f"{pip}:/etc/pip.conf:ro"]
    return options


def _id(tag: str) -> str:
    return _buildah("images", "--quiet", "--no-trunc", "--filter", f"reference={tag}").strip()


def _label(tag: str) -> str | None:
    if not _id(tag):
        return None
    described = json.loads(_buildah("inspect", "--type", "image", tag))
    labels: dict[str, str] = described["OCIv1"]["config"].get("Labels") or {}
    return labels.get(_LABEL)


def _copied(dockerfile: str, context: Path) -> Iterator[Path]:
    """The files of the context that a Dockerfile copies."""
    rules = [*_lines(context / ".dockerignore"), ".git", "__pycache__", "*.pyc"]

    def wanted(path: Path) -> bool:
        relative = path.relative_to(context)
        names = [*relative.parts, *(str(parent) for parent in (relative, *relative.parents))]
        taken = True
        for rule in rules:  # the last one that matches counts
            if any(fnmatch.fnmatch(name, rule.lstrip("!")) for name in names):
                taken = rule.startswith("!")
        return taken

    files: set[Path] = set()
    joined = re.sub(r"\\\n", " ", dockerfile)
    for words in re.findall(r"^\s*(?:COPY|ADD)\s+(.+)$", joined, re.MULTILINE | re.IGNORECASE):
        parts = words.replace(",", " ").replace('"', " ").strip("[] ").split()
        if any(part.startswith("--from=") for part in parts):
            continue
        for source in [part for part in parts if not part.startswith("--")][:-1]:
            for found in context.glob(source.strip("/") or "."):
                files.update(found.rglob("*") if found.is_dir() else [found])
    return (path for path in sorted(files) if path.is_file() and wanted(path))


def _lines(ignore_file: Path) -> list[str]:
    """The rules of a .dockerignore file; one that begins with `!` takes back what others say."""
    if not ignore_file.exists():
        return []
    lines = (line.strip().rstrip("/") for line in ignore_file.read_text().splitlines())
    return [line.replace("!/", "!").lstrip("/") for line in lines if line and line[0] != "#"]


def _mirror() -> str:
    """Where this machine gets its own packages from."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"],
        what="apt-get indextargets",
    )
    for line in listed.splitlines():
        uri, release, component = line.split()
        if component == "main" and "-" not in release:
            return uri
    raise ClusterError("apt has no package lists to tell where Debian comes from")
