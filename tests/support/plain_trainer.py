"""A training program as its author has it: transformers and nothing of kubestudy.

Run by the trial's environment, with the arguments of `TrainingArguments`.
"""

import os
from pathlib import Path

import numpy as np
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
)

data = Path(os.environ.get("DATA", "data"))
(arguments,) = HfArgumentParser((TrainingArguments,)).parse_args_into_dataclasses()

tokenizer = AutoTokenizer.from_pretrained(data / "minilm")
model = AutoModelForSequenceClassification.from_pretrained(
    data / "minilm", num_labels=5, num_hidden_layers=1
)
files = {part: str(data / "bbc" / f"{part}.csv") for part in ("train", "validation")}
texts = load_dataset("csv", data_files=files).class_encode_column("label")
texts = texts.map(lambda row: tokenizer(row["text"], truncation=True, max_length=32))


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


trainer = Trainer(
    model,
    arguments,
    train_dataset=texts["train"].select(range(96)),
    eval_dataset=texts["validation"].select(range(60)),
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=accuracy,
)
trainer.train()
