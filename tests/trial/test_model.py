"""The model that is trained, made of the real small one."""

from pathlib import Path
from typing import Any

import pytest

from kubestudy_trial.arguments import Options
from kubestudy_trial.data import Corpus, Rows
from kubestudy_trial.failures import InvalidArgument

pytestmark = pytest.mark.trainer

CORPUS = Corpus(Rows(["a"], None, [0]), None, names=("no", "yes"))


def changed(config: Any, options: Options | None = None, **given: str) -> Any:
    from kubestudy_trial.model import change_config

    return change_config(config, dict(given), options or Options(), CORPUS)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("bert", "hidden_dropout_prob attention_probs_dropout_prob classifier_dropout"),
        ("roberta", "hidden_dropout_prob attention_probs_dropout_prob classifier_dropout"),
        ("distilbert", "dropout attention_dropout seq_classif_dropout"),
        ("deberta-v2", "hidden_dropout_prob attention_probs_dropout_prob cls_dropout"),
        ("albert", "hidden_dropout_prob attention_probs_dropout_prob classifier_dropout_prob"),
        ("gpt2", "resid_pdrop embd_pdrop attn_pdrop"),
    ],
)  # fmt: skip
def test_dropout_reaches_every_kind_of_it(kind: str, fields: str) -> None:
    from transformers import AutoConfig

    config = changed(AutoConfig.for_model(kind), Options(dropout=0.37))
    assert [getattr(config, field) for field in fields.split()] == [0.37] * len(fields.split())


def test_question_answering_and_whole_layers_are_left_alone() -> None:
    from transformers import AutoConfig

    config = changed(AutoConfig.for_model("distilbert"), Options(dropout=0.37))
    assert config.qa_dropout == 0.1
    assert changed(AutoConfig.for_model("bart"), Options(dropout=0.37)).encoder_layerdrop == 0


def test_dropout_reaches_the_modules(data: Path) -> None:
    from torch import nn

    from kubestudy_trial import model

    options = Options(model_name_or_path=str(data / "minilm"), dropout=0.37)
    built = model.load_model(options, changed(model.load_config(options), options), [])
    found = [module.p for module in built.modules() if isinstance(module, nn.Dropout)]
    assert len(found) > 6
    assert set(found) == {0.37}


def test_a_single_field_wins_over_dropout_for_all() -> None:
    from transformers import AutoConfig

    config = changed(AutoConfig.for_model("bert"), Options(dropout=0.4), classifier_dropout="0.1")
    assert (config.classifier_dropout, config.hidden_dropout_prob) == (0.1, 0.4)


def test_other_models_names_are_understood() -> None:
    from transformers import AutoConfig

    config = changed(AutoConfig.for_model("distilbert"), num_hidden_layers="2")
    assert config.n_layers == 2


def test_labels_get_their_names() -> None:
    from transformers import AutoConfig

    config = changed(AutoConfig.for_model("bert"))
    assert config.num_labels == 2
    assert config.id2label == {0: "no", 1: "yes"}
    assert config.label2id == {"no": 0, "yes": 1}


def test_a_wrong_type_is_the_users_mistake() -> None:
    from transformers import AutoConfig

    with pytest.raises(InvalidArgument, match=r"--num_hidden_layers=2.5: must be a whole number"):
        changed(AutoConfig.for_model("bert"), num_hidden_layers="2.5")


def load(data: Path, from_scratch: bool = False, **given: str) -> Any:
    from kubestudy_trial import model

    options = Options(model_name_or_path=str(data / "minilm"), from_scratch=from_scratch)
    config = changed(model.load_config(options), options, **given)
    return model.load_model(options, config, list(given))


def test_fewer_layers_are_the_first_pretrained_ones(data: Path) -> None:
    import torch

    whole, cut = load(data), load(data, num_hidden_layers="2")
    assert len(whole.bert.encoder.layer) == 6
    assert len(cut.bert.encoder.layer) == 2
    pretrained = whole.bert.state_dict()
    kept = cut.bert.state_dict()
    assert any("layer.1." in name for name in kept)
    for name, weights in kept.items():
        assert torch.equal(weights, pretrained[name]), name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hidden_size": "192"}, "do not fit --hidden_size .*--from_scratch"),
        ({"num_hidden_layers": "8"}, "has no weights .*--num_hidden_layers .*--from_scratch"),
        ({"num_attention_heads": "7"}, "not a multiple of the number of attention heads"),
    ],
)
def test_what_the_weights_do_not_fit_is_told(data: Path, given, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        load(data, **given)


def test_from_scratch_any_size_will_do(data: Path) -> None:
    model = load(data, from_scratch=True, hidden_size="96", num_hidden_layers="8")
    assert model.config.hidden_size == 96
    assert len(model.bert.encoder.layer) == 8


def test_another_number_of_labels_only_costs_the_head(data: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from kubestudy_trial import model

    load(data, num_hidden_layers="1").save_pretrained(tmp_path)
    options = Options(model_name_or_path=str(tmp_path))
    three = replace(CORPUS, names=("a", "b", "c"))
    config = model.change_config(model.load_config(options), {}, options, three)
    assert model.load_model(options, config, []).classifier.out_features == 3
