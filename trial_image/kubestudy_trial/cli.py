"""The command `kubestudy-trial`."""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version

from kubestudy_trial.arguments import Options
from kubestudy_trial.process import outcome

_INTRODUCTION = """\
usage: kubestudy-trial --name=value ...

Trains a model that classifies texts or pairs of texts (or scores them), and reports each
evaluation as a line of JSON. Arguments are written --name=value or --name value; of a name that
comes twice the last counts.
"""

_EXAMPLES = """\
examples
  A GLUE task, model and data from the hub:
    kubestudy-trial --model_name_or_path=bert-base-uncased --task=mrpc --learning_rate=2e-5
  Your own files and a model in a folder:
    kubestudy-trial --model_name_or_path=./model --train_file=train.csv --validation_file=dev.csv
  A smaller network, other dropout, a data set of the hub, quick:
    kubestudy-trial --model_name_or_path=roberta-base --dataset_name=imdb --num_hidden_layers=4 \\
      --dropout=0.2 --max_train_samples=2000 --max_eval_samples=500

exit codes
  0 finished   64 wrong argument   65 diverged   69 data or model unavailable
  71 out of memory   75 interrupted
"""

_GROUPS = {
    "data": "give one of --train_file, --task and --dataset_name",
    "model": "and any field of its configuration: --num_hidden_layers, --hidden_act, ...",
    "run": "",
}

_TRAINING = {
    "learning_rate": "5e-5",
    "num_train_epochs": "3",
    "max_steps": "ends training after so many steps instead",
    "per_device_train_batch_size": "8",
    "per_device_eval_batch_size": "8",
    "gradient_accumulation_steps": "1",
    "weight_decay": "0",
    "warmup_steps": "0; below 1 it is a part of all steps",
    "lr_scheduler_type": "linear; cosine, constant, constant_with_warmup, polynomial, ...",
    "optim": "adamw_torch_fused; adafactor, sgd, ...",
    "label_smoothing_factor": "0",
    "max_grad_norm": "1",
    "seed": "42",
    "bf16": "false; fp16 likewise, on a GPU",
    "eval_strategy": "epoch; steps if --eval_steps is given",
    "eval_steps": "evaluate, and so report, every so many steps",
    "save_strategy": "epoch if there is a folder for checkpoints, else no",
    "load_best_model_at_end": "false; else the last report is of the best model",
    "metric_for_best_model": "eval_loss",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a trial, and exit with the code that tells what became of it.

    Args:
        argv: The arguments; the process's own if not given.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or "--help" in argv or "-h" in argv:
        print(help_text())
        return
    if "--version" in argv:
        print(f"kubestudy-trial {version('kubestudy-trial')}")
        return
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("kubestudy_trial").setLevel(logging.INFO)
    with outcome():
        # Within, so that a signal during the seconds that these imports take is not lost.
        from kubestudy_trial.cpus import limit_threads

        limit_threads()
        from kubestudy_trial.training import train

        train(argv)


def help_text() -> str:
    """The help, without loading torch."""
    lines = [_INTRODUCTION]
    for group, note in _GROUPS.items():
        lines.append(f"{group}" + (f": {note}" if note else ""))
        for item in dataclasses.fields(Options):
            if item.metadata["group"] == group:
                text = item.metadata["help"]
                if item.default not in (None, False):
                    text += f" (default {item.default})"
                lines.append(f"  --{item.name:<28} {text}")
        lines.append("")
    lines.append("training: any field of transformers' TrainingArguments, such as (with defaults)")
    lines += [f"  --{name:<28} {text}" for name, text in _TRAINING.items()]
    return "\n".join([*lines, "", _EXAMPLES.rstrip()])
