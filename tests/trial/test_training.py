"""Whole trials: the real Trainer, a real pretrained model, real texts."""

import csv
import json
import math
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Ended
from .test_reporting import free_port

pytestmark = pytest.mark.trainer

Trial = Callable[..., Ended]


def test_a_trial_learns_and_says_so(trial: Trial, data: Path) -> None:
    ended = trial(
        "--max_train_samples=400", "--max_seq_length=64", "--num_train_epochs=1",
        "--max_eval_samples=100", "--evaluation_strategy=epoch", "--num_hidden_layers=2",
    )  # fmt: skip
    assert ended.code == 0
    first, last = ended.reports
    assert (first["seq"], first["step"], first["epoch"]) == (0, 25, 1.0)
    assert first["eval_accuracy"] > 0.5  # Of five categories; by chance it would be 0.2.
    assert {"loss", "eval_loss", "eval_f1"} <= first.keys()
    assert (last["seq"], last["final"]) == (1, True)
    assert last["eval_accuracy"] == first["eval_accuracy"]
    assert ended.message["reason"] == "Completed"
    assert ended.message["metrics"]["eval_accuracy"]["latest"] == last["eval_accuracy"]
    assert "--evaluation_strategy is now --eval_strategy" in ended.log


def test_prometheus_has_the_last_evaluation_with_its_epoch(trial: Trial) -> None:
    port = free_port()
    last = trial(KUBESTUDY_METRICS_PORT=str(port)).reports[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        told = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines())
    for series, number in (
        ("metric", last["eval_accuracy"]),
        ("metric_step", last["step"]),
        ("metric_epoch", last["epoch"]),
    ):
        assert float(told[f'kubestudy_trial_{series}{{metric="eval_accuracy"}}']) == number
    assert (last["step"], last["epoch"]) == (8, 2)


def test_pairs_of_texts_are_both_seen(trial: Trial, data: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    from kubestudy_trial.data import Rows, tokenize

    ended = trial(
        f"--train_file={data / 'pairs' / 'train.csv'}",
        f"--validation_file={data / 'pairs' / 'validation.csv'}",
    )  # fmt: skip
    assert ended.code == 0
    assert [shown["step"] for shown in ended.reports] == [4, 8, 8]
    assert "eval_f1" in ended.reports[0]
    tokenizer = AutoTokenizer.from_pretrained(data / "minilm")
    row = tokenize(Rows(["one text"], ["another"], [0]), tokenizer, 32)[0]
    assert torch.tensor(row["token_type_ids"]).unique().tolist() == [0, 1]
    assert tokenizer.decode(row["input_ids"]) == "[CLS] one text [SEP] another [SEP]"


def test_quantities_are_a_regression(trial: Trial, tmp_path: Path, data: Path) -> None:
    path = tmp_path / "lengths.jsonl"
    with (data / "bbc" / "train.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)][:64]
    rows = [{"text": text[: 9 * n], "score": n / 40} for n, text in enumerate(texts)]
    path.write_text("\n".join(map(json.dumps, rows)))
    ended = trial(f"--train_file={path}", f"--validation_file={path}")
    assert ended.code == 0
    assert {"eval_mse", "eval_mae", "eval_pearson", "eval_spearmanr"} <= ended.reports[-1].keys()
    assert "eval_accuracy" not in ended.reports[-1]
    assert -1 <= ended.reports[-1]["eval_pearson"] <= 1
    assert ended.reports[-1]["eval_mse"] < 0.4  # Guessing 0 for all would make it 0.8.


def test_the_seed_decides_how_training_goes(trial: Trial) -> None:
    losses = []
    for seeds in ([], ["--seed=42"], ["--seed=42", "--seed=1001"]):
        losses.append(trial("--num_train_epochs=1", *seeds).reports[-1]["eval_loss"])
    assert losses[0] == losses[1] != losses[2]


def test_steps_evaluate_where_they_should(trial: Trial) -> None:
    ended = trial("--max_steps=5", "--eval_steps=2")
    assert [shown["step"] for shown in ended.reports] == [2, 4, 5, 5]


def test_without_validation_data_some_is_held_out(data: Path) -> None:
    from kubestudy_trial.arguments import Options
    from kubestudy_trial.data import load, split

    options = Options(train_file=str(data / "bbc" / "train.csv"), validation_fraction=0.25)
    corpus = split(load(options), options, None)
    assert corpus.validation is not None
    assert [corpus.validation.labels.count(label) for label in range(5)] == [20] * 5
    assert len(corpus.train) == 300
    assert not set(corpus.train.texts) & set(corpus.validation.texts)
    assert split(load(options), options, None) == corpus


def test_a_fold_is_evaluated_on_what_it_holds_out(trial: Trial, data: Path) -> None:
    ended = trial(
        "--max_train_samples=1000", "--num_train_epochs=1", "--max_seq_length=8",
        KUBESTUDY_FOLD="1", KUBESTUDY_FOLDS="4", KUBESTUDY_FOLD_SEED="3",
    )  # fmt: skip
    assert ended.code == 0
    assert ended.reports[-1]["step"] == math.ceil(300 / 16)  # 3 of 4 parts of 400 rows.
    from kubestudy_trial.arguments import Options
    from kubestudy_trial.data import load, split
    from kubestudy_trial.environment import Fold

    files = data / "bbc"
    options = Options(
        train_file=str(files / "train.csv"), validation_file=str(files / "validation.csv")
    )
    parts = [split(load(options), options, Fold(i, 4, 3)).validation for i in range(4)]
    texts = [text for part in parts if part is not None for text in part.texts]
    with (files / "train.csv").open() as file:
        assert sorted(texts) == sorted(row["text"] for row in csv.DictReader(file))


def test_all_folds_in_one_process_are_as_each_in_its_own(trial: Trial, tmp_path: Path) -> None:
    splits = {"KUBESTUDY_FOLDS": "3", "KUBESTUDY_FOLD_SEED": "3"}
    given = ("--num_train_epochs=1", "--max_train_samples=32")
    kept = {"KUBESTUDY_CHECKPOINT_DIR": str(tmp_path / "study-1")}
    together = trial(*given, **splits, **kept, KUBESTUDY_FOLD="0,1,2")
    assert together.code == 0
    assert [(r["fold"], r.get("final", False)) for r in together.reports] == [
        (fold, final) for fold in range(3) for final in (False, True)
    ]
    assert [r["seq"] for r in together.reports] == list(range(6))
    losses = [r["eval_loss"] for r in together.reports if r.get("final")]
    alone = trial(*given, **splits, KUBESTUDY_CHECKPOINT_DIR="", KUBESTUDY_FOLD="1")
    assert alone.reports[-1]["eval_loss"] == pytest.approx(losses[1], rel=1e-6)
    assert alone.reports[-1]["fold"] == 1
    assert len(set(losses)) == 3

    # A run after that goes on from the checkpoints of the fold that it is given.
    again = trial(*given, **splits, **kept, KUBESTUDY_FOLD="2")
    assert f"going on from {tmp_path / 'study-1' / 'fold-2'}/checkpoint-2" in again.log
    assert again.reports[-1]["eval_loss"] == pytest.approx(losses[2], rel=1e-6)


def test_divergence_is_found_and_named(trial: Trial) -> None:
    ended = trial("--learning_rate=1e9")
    assert ended.code == 65
    assert ended.message["reason"] == "Diverged"
    assert "nan at step 4" in ended.message["message"]
    assert not any(shown.get("final") for shown in ended.reports)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--learning_rte=1", "unknown argument --learning_rte, did you mean learning_rate"),
        ("--num_hiden_layers=1", "did you mean num_hidden_layers"),
        ("--text_column=body", "no such column, but text, label"),
        ("--per_device_train_batch_size=16.5", "must be a whole number"),
        ("--lr_scheduler_type=cosin", "did you mean cosine"),
        ("--load_best_model_at_end=true --save_strategy=no", "--load_best_model_at_end"),
        ("--optim=adam", "must be one of"),
    ],
)
def test_the_users_mistakes_are_told(trial: Trial, argument: str, words: str) -> None:
    ended = trial(*argument.split())
    assert ended.code == 64
    assert ended.message["reason"] == "InvalidArgument"
    assert words in ended.message["message"]
    assert "Traceback" not in ended.log


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--model_name_or_path=bert-base-uncased", "the model bert-base-uncased"),
        ("--model_name_or_path=./nowhere", "no such folder"),
        ("--train_file=nowhere.csv", "nowhere.csv"),
    ],
)
def test_what_cannot_be_had_is_told_with_a_remedy(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, argument: str, words: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ended = trial(argument)
    assert ended.code == 69
    assert ended.message["reason"] == "DataUnavailable"
    assert words in ended.message["message"]
    assert "Traceback" not in ended.log


def test_a_data_set_of_the_hub_cannot_be_had_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    from kubestudy_trial.arguments import Options
    from kubestudy_trial.data import load
    from kubestudy_trial.failures import DataUnavailable

    with pytest.raises(DataUnavailable, match=r"nyu-mll/glue \(mrpc\).*--train_file"):
        load(Options(task="mrpc"))


def test_splits_of_the_hub_are_used_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    from kubestudy_trial.arguments import Options
    from kubestudy_trial.data import load

    # What the hub's mnli looks like: two validation splits, and a test split without labels.
    features = Features(
        {
            "premise": Value("string"),
            "hypothesis": Value("string"),
            "label": ClassLabel(names=["entailment", "neutral", "contradiction"]),
        }
    )
    rows = {"premise": ["p"] * 3, "hypothesis": ["h"] * 3, "label": [2, 0, 1]}
    split = Dataset.from_dict(rows, features)
    hidden = Dataset.from_dict(rows | {"label": [-1] * 3}, features)
    asked = []

    def load_dataset(*args: object) -> DatasetDict:
        asked.append(args)
        return DatasetDict(
            train=split, validation_matched=split, validation_mismatched=split, test_matched=hidden
        )

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    corpus = load(Options(task="mnli"))
    assert asked == [("nyu-mll/glue", "mnli")]
    assert corpus.names == ("entailment", "neutral", "contradiction")
    assert list(corpus.train.labels) == [2, 0, 1]
    assert corpus.train.pairs is not None
    assert corpus.validation is not None
    from kubestudy_trial.failures import InvalidArgument

    with pytest.raises(InvalidArgument, match="has no split dev, but train, validation_matched"):
        load(Options(task="mnli", validation_split="dev"))
    with pytest.raises(InvalidArgument, match="no label"):
        load(Options(task="mnli", test_split="test_matched"))


def test_the_model_that_is_kept_says_the_same(trial: Trial, data: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from kubestudy_trial.data import read_table  # type: ignore[attr-defined]

    output = tmp_path / "out" / "model"
    ended = trial(
        "--max_eval_samples=1000", f"--output_dir={tmp_path / 'other'}",
        KUBESTUDY_OUTPUT_DIR=str(output),
    )  # fmt: skip
    assert ended.code == 0
    assert not (tmp_path / "other").exists()
    assert [item.name for item in output.parent.iterdir()] == ["model"]
    model = AutoModelForSequenceClassification.from_pretrained(output).eval()
    tokenizer = AutoTokenizer.from_pretrained(output)
    table = read_table(data / "bbc" / "validation.csv")
    batch = tokenizer(
        table["text"], truncation=True, max_length=32, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        guesses = [model.config.id2label[int(n)] for n in model(**batch).logits.argmax(-1)]
    right = sum(guess == label for guess, label in zip(guesses, table["label"], strict=True))
    assert right / len(guesses) == pytest.approx(ended.reports[-1]["eval_accuracy"])


def test_trials_that_share_a_folder_have_each_their_own(trial: Trial, tmp_path: Path) -> None:
    ended = trial(f"--output_dir={tmp_path / 'models'}", "--max_steps=1", KUBESTUDY_TRIAL="study-7")
    assert ended.code == 0
    assert (tmp_path / "models" / "study-7" / "config.json").is_file()


def test_no_model_is_kept_of_a_run_that_failed(trial: Trial, tmp_path: Path) -> None:
    assert trial("--learning_rate=1e9", KUBESTUDY_OUTPUT_DIR=str(tmp_path / "model")).code == 65
    assert not (tmp_path / "model").exists()


def test_test_data_is_measured_at_the_end(trial: Trial, data: Path) -> None:
    ended = trial(f"--test_file={data / 'bbc' / 'validation.csv'}", "--max_steps=4")
    assert ended.reports[-1]["final"] is True
    assert 0 <= ended.reports[-1]["test_accuracy"] <= 1
    assert "eval_accuracy" in ended.reports[-1]


def test_a_script_of_ones_own_needs_only_the_callback(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
    )

    from kubestudy_trial import KubestudyCallback
    from kubestudy_trial.data import Rows, tokenize

    from .conftest import lines

    tokenizer = AutoTokenizer.from_pretrained(data / "minilm")
    rows = tokenize(Rows(["good", "bad"] * 4, None, [0, 1] * 4), tokenizer, 8)
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(
            data / "minilm", num_hidden_layers=1
        ),
        args=TrainingArguments(
            str(tmp_path), num_train_epochs=2, eval_strategy="epoch", report_to="none"
        ),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        callbacks=[KubestudyCallback()],
    )
    trainer.train()
    reports = lines(capfd.readouterr().out.replace("{'", "# {'"))
    assert [shown["step"] for shown in reports] == [1, 2]
    assert {"eval_loss", "loss", "epoch"} <= reports[-1].keys()
