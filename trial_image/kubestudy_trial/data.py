"""The data: from files or the hub, to texts with labels, to what is trained and evaluated on."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubestudy_trial.arguments import Options
from kubestudy_trial.coercion import did_you_mean
from kubestudy_trial.environment import Fold
from kubestudy_trial.failures import DataUnavailable, Failure, InvalidArgument
from kubestudy_trial.files import Table, read_table
from kubestudy_trial.folds import hold_out, split_fold

if TYPE_CHECKING:
    from datasets import Dataset

_log = logging.getLogger(__name__)

GLUE = "nyu-mll/glue"

GLUE_TEXTS: Mapping[str, tuple[str, ...]] = {
    "cola": ("sentence",),
    "mnli": ("premise", "hypothesis"),
    "mrpc": ("sentence1", "sentence2"),
    "qnli": ("question", "sentence"),
    "qqp": ("question1", "question2"),
    "rte": ("sentence1", "sentence2"),
    "sst2": ("sentence",),
    "stsb": ("sentence1", "sentence2"),
    "wnli": ("sentence1", "sentence2"),
}

_LABELS = ("label", "labels", "class", "category", "target", "score", "y")
_PAIRS = (
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("query", "passage"),
)
_TEXTS = ("text", "sentence", "content", "document", "review", "body", "title", "question")
_VALIDATION_SPLITS = ("validation", "validation_matched", "dev", "valid", "test")
_REMEDY = (
    "without access to the hub, give --train_file and --validation_file, "
    "and a folder as --model_name_or_path"
)


@dataclass(frozen=True)
class Rows:
    """Texts with their labels, under the same names wherever they come from."""

    texts: Sequence[str]
    pairs: Sequence[str] | None
    labels: Sequence[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Sequence[int]) -> "Rows":
        """The rows of these numbers."""
        return Rows(
            [self.texts[i] for i in indices],
            None if self.pairs is None else [self.pairs[i] for i in indices],
            [self.labels[i] for i in indices],
        )


@dataclass(frozen=True)
class Corpus:
    """All data of a trial. Labels are numbered by `names`, or are numbers if there are none."""

    train: Rows
    validation: Rows | None
    test: Rows | None = None
    names: tuple[str, ...] | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the labels are quantities rather than classes."""
        return self.names is None


@contextmanager
def from_hub(what: str) -> Iterator[None]:
    """Tell what goes wrong with the hub from what the user has got wrong.

    Args:
        what: What is being fetched, for the message.

    Raises:
        DataUnavailable: It cannot be had.
        InvalidArgument: The hub has it, but not so.
    """
    try:
        yield
    except (Failure, MemoryError):
        raise
    except Exception as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, ValueError | TypeError) and not isinstance(error, OSError):
            raise InvalidArgument(f"{what}: {first_line}") from error
        raise DataUnavailable(f"{what} cannot be had: {first_line} ({_REMEDY})") from error


def load(options: Options) -> Corpus:
    """Load all data.

    Raises:
        DataUnavailable: It cannot be had.
        InvalidArgument: The arguments don't fit it.
    """
    return _numbered(_read(options), options)


def split(corpus: Corpus, options: Options, fold: Fold | None) -> Corpus:
    """Split the data as the trial wants.

    In a cross-validation the training data's held-out fold is what is evaluated on, and given
    validation data is left alone. Else it is the validation data, or where there is none a part
    of the training data.

    Raises:
        InvalidArgument: The arguments don't fit it.
    """
    seed = options.split_seed
    if seed is None:
        seed = fold.seed if fold else 0
    stratified = not corpus.is_regression
    labels = corpus.train.labels
    if fold:
        train, held_out = split_fold(labels, replace(fold, stratified=fold.stratified & stratified))
        if corpus.validation is not None:
            _log.info("fold %d of %d: the validation data is not used", fold.index, fold.count)
    elif corpus.validation is None:
        count = max(1, round(len(labels) * options.validation_fraction))
        if len(labels) - count < 1:
            raise InvalidArgument(f"{len(labels)} rows are too few to hold some out")
        train, held_out = hold_out(labels, count, seed, stratified)
    else:
        train = held_out = []
    if held_out:
        rows = corpus.train
        corpus = replace(corpus, train=rows.select(train), validation=rows.select(held_out))
    assert corpus.validation is not None
    return replace(
        corpus,
        train=_limited(corpus.train, options.max_train_samples, seed, stratified),
        validation=_limited(corpus.validation, options.max_eval_samples, seed, stratified),
    )


def tokenize(rows: Rows, tokenizer: Any, max_length: int) -> "Dataset":
    """Make rows into what a model takes; padding is left to the batches."""
    from datasets import Dataset

    columns = {"text": list(rows.texts), "labels": list(rows.labels)}
    if rows.pairs is not None:
        columns["pair"] = list(rows.pairs)

    def encode(batch: dict[str, list[str]]) -> Any:
        return tokenizer(batch["text"], batch.get("pair"), truncation=True, max_length=max_length)

    texts = [name for name in columns if name != "labels"]
    return Dataset.from_dict(columns).map(encode, batched=True, remove_columns=texts)


def _read(options: Options) -> Corpus:
    """Read the raw data, labels still as they are."""
    sources = {
        "--train_file": options.train_file,
        "--task": options.task,
        "--dataset_name": options.dataset_name,
    }
    given = [name for name, value in sources.items() if value]
    if len(given) != 1:
        raise InvalidArgument(
            f"give one of {', '.join(sources)}, not "
            + (" and ".join(given) if given else "none: there is no data to train on")
        )
    return _read_files(options) if options.train_file else _read_hub(options)


def _read_files(options: Options) -> Corpus:
    assert options.train_file is not None

    def read(path: str | None) -> Rows | None:
        return None if path is None else _rows(read_table(Path(path)), options, path)

    train = read(options.train_file)
    assert train is not None
    return Corpus(train, read(options.validation_file), read(options.test_file))


def _read_hub(options: Options) -> Corpus:
    if options.task is not None and options.task not in GLUE_TEXTS:
        hint = did_you_mean(options.task, GLUE_TEXTS)
        raise InvalidArgument(
            f"--task={options.task}: must be one of {', '.join(GLUE_TEXTS)}{hint}"
        )
    name = GLUE if options.task else options.dataset_name
    assert name is not None
    config = options.task or options.dataset_config_name
    what = f"the data set {name}" + (f" ({config})" if config else "")
    with from_hub(what):
        from datasets import load_dataset

        splits = load_dataset(name, config)
    if options.task:
        texts = GLUE_TEXTS[options.task]
        options = replace(
            options,
            text_column=texts[0],
            text_pair_column=texts[1] if len(texts) > 1 else None,
            label_column="label",
        )

    def read(split: str | None) -> Rows | None:
        if split is None:
            return None
        if split not in splits:
            raise InvalidArgument(f"{what} has no split {split}, but {', '.join(splits)}")
        data = splits[split]
        return _rows({column: data[column] for column in data.column_names}, options, what)

    validation = options.validation_split or next(
        (split for split in _VALIDATION_SPLITS if split in splits), None
    )
    train = read(options.train_split)
    assert train is not None
    corpus = Corpus(train, read(validation), read(options.test_split))
    label = options.label_column or _guess_label(splits[options.train_split].column_names)
    feature = splits[options.train_split].features.get(label) if label else None
    names = getattr(feature, "names", None)
    return replace(corpus, names=tuple(names)) if names else corpus


def _rows(table: Table, options: Options, where: str) -> Rows:
    """Find the columns of a table, by what the user says or by their names."""
    columns = list(table)
    for option in ("text_column", "text_pair_column", "label_column"):
        name = getattr(options, option)
        if name is not None and name not in table:
            raise InvalidArgument(
                f"--{option}={name}: {where} has no such column, "
                f"but {', '.join(columns)}{did_you_mean(name, columns)}"
            )
    label = options.label_column or _guess_label(columns)
    if label is None:
        raise InvalidArgument(
            f"{where}: which column is the label? Say --label_column, one of {', '.join(columns)}"
        )
    others = [column for column in columns if column != label]
    text, pair = options.text_column, options.text_pair_column
    if text is None and pair is None:
        text, pair = next((names for names in _PAIRS if set(names) <= set(others)), (None, None))
    if text is None:
        rest = [column for column in others if column != pair]
        text = next((name for name in _TEXTS if name in rest), None)
        text = rest[0] if text is None and len(rest) == 1 else text
    if text is None:
        raise InvalidArgument(
            f"{where}: which column is the text? Say --text_column, one of {', '.join(others)}"
        )
    return Rows(
        [_text(value) for value in table[text]],
        None if pair is None else [_text(value) for value in table[pair]],
        table[label],
    )


def _guess_label(columns: Sequence[str]) -> str | None:
    return next((name for name in _LABELS if name in columns), None)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _numbered(corpus: Corpus, options: Options) -> Corpus:
    """Give the labels their numbers: classes in sorted order, quantities as they are."""
    parts = [rows for rows in (corpus.train, corpus.validation, corpus.test) if rows is not None]
    for rows in parts:
        for number, label in enumerate(rows.labels, start=1):
            if label is None or label == "" or (label == -1 and corpus.names):
                raise InvalidArgument(f"row {number} of {len(rows)} has no label")
            if isinstance(label, list | dict):
                raise InvalidArgument(f"row {number}: a label must be one value, not {label}")
    if corpus.names and options.problem_type != "regression":
        return corpus
    labels = {label for rows in parts for label in rows.labels}
    numbers = _as_numbers(labels)
    regression = options.problem_type == "regression" or (
        options.problem_type is None
        and numbers is not None
        and not all(number.is_integer() for number in numbers.values())
    )
    if regression:
        if numbers is None:
            raise InvalidArgument("labels must be numbers for a regression")
        meaning: Mapping[Any, float] = numbers
        names = None
    else:
        order = sorted(labels, key=numbers.__getitem__ if numbers else str)
        if len(order) < 2:
            raise InvalidArgument(f"all rows have the same label, {order[0]}")
        meaning = {label: number for number, label in enumerate(order)}
        names = tuple(map(str, order))

    def numbered(rows: Rows | None) -> Rows | None:
        return rows and replace(rows, labels=[meaning[label] for label in rows.labels])

    train = numbered(corpus.train)
    assert train is not None
    return Corpus(train, numbered(corpus.validation), numbered(corpus.test), names)


def _as_numbers(labels: set[Any]) -> dict[Any, float] | None:
    try:
        return {label: float(label) for label in labels}
    except (TypeError, ValueError):
        return None


def _limited(rows: Rows, limit: int | None, seed: int, stratified: bool) -> Rows:
    """At most so many rows, drawn rather than cut off: files are often sorted by label."""
    if limit is None or limit >= len(rows):
        return rows
    _, drawn = hold_out(rows.labels, limit, seed, stratified)
    return rows.select(drawn)
