"""One trial from its arguments to its last report."""

import contextlib
import gc
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubestudy_trial import arguments, checkpoints, data, model
from kubestudy_trial.arguments import Options
from kubestudy_trial.environment import Environment, Fold
from kubestudy_trial.failures import Failure, InvalidArgument
from kubestudy_trial.output import publish
from kubestudy_trial.reporting import default_reporter

_log = logging.getLogger(__name__)


def train(argv: Sequence[str]) -> None:
    """Train and evaluate, reporting on the way.

    Args:
        argv: The command line's arguments.

    Raises:
        Failure: The trial has no result; the kind tells why.
    """
    environment = default_reporter().environment
    given = arguments.parse(argv)

    import datasets
    import torch
    import transformers
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, set_seed

    from kubestudy_trial.inheritance import Heir, inherited

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    training_types = arguments.declared_types(transformers.TrainingArguments)
    given = arguments.rename(given, {*training_types, *arguments.declared_types(Options)})
    options = arguments.take_options(given)
    wanted = arguments.take(given, training_types)
    pretrained = model.load_config(options)
    config_types = model.config_types(pretrained)
    arguments.refuse_rest(
        {name: text for name, text in given.items() if name not in config_types},
        {*training_types, *arguments.declared_types(Options), *config_types},
    )

    whole = data.load(options)
    changed = list(given)
    config = model.change_config(pretrained, given, options, whole)
    tokenizer = model.load_tokenizer(options, config)
    length = min(options.max_seq_length, tokenizer.model_max_length)

    def train_once(fold: Fold | None) -> None:
        corpus = data.split(whole, options, fold)
        assert corpus.validation is not None
        with _checkpoint_folder(options, environment, fold) as (folder, is_kept):
            own = dict(wanted)
            checkpoint = checkpoints.newest(folder) if is_kept else None
            if checkpoint is not None:
                _log.info("going on from %s", checkpoint.path)
                own["eval_on_start"] = checkpoint.is_evaluation_due
                part = environment.part
                if part is not None and part.is_over(checkpoint.epoch, checkpoint.step):
                    own[part.resource] = part.until  # Nothing is left to train.
            settings = _training_arguments(own, folder, is_kept, torch.cuda.is_available())
            set_seed(settings.seed)
            inherits = checkpoint is None and environment.inherit_from is not None
            trainer = (Heir if inherits else Trainer)(
                model=model.load_model(options, config, changed),
                args=settings,
                train_dataset=data.tokenize(corpus.train, tokenizer, length),
                eval_dataset=data.tokenize(corpus.validation, tokenizer, length),
                processing_class=tokenizer,
                data_collator=DataCollatorWithPadding(tokenizer),
                compute_metrics=_scores(options, corpus),
            )
            trainer.remove_callback(PrinterCallback)  # Its dictionaries are what we report as JSON.
            with contextlib.ExitStack() as during_training:
                if inherits:
                    checkpoint = during_training.enter_context(inherited(trainer, environment))
                resume_from = str(checkpoint.path) if checkpoint else None
                _run(trainer, resume_from or wanted.get("resume_from_checkpoint"), fold)
            if corpus.test is not None:
                trainer.evaluate(
                    data.tokenize(corpus.test, tokenizer, length), metric_key_prefix="test"
                )
            output = _output_folder(options, environment, fold)
            if output is not None and trainer.is_world_process_zero():
                publish(lambda place: trainer.save_model(str(place)), output)
                _log.info("the model is in %s", output)
        _report_final(trainer, fold)

    for fold in environment.folds or (None,):
        train_once(fold)
        gc.collect()  # A trainer and its parts refer to one another, and hold the GPU's memory.


def _run(trainer: Any, resume_from: str | None, fold: Fold | None) -> None:
    """Train, and make sure that the model as it is at the end has been evaluated."""
    from kubestudy_trial.callback import KubestudyCallback

    # Only this method can save in the middle of an evaluation; transformers' own just-in-time
    # checkpoints call it as well.
    callback = KubestudyCallback(
        save=lambda: trainer._save_checkpoint(trainer.model, trial=None),
        fold=fold.index if fold else None,
    )
    trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=resume_from)
    best_is_loaded = trainer.args.load_best_model_at_end
    if best_is_loaded or callback.evaluated_step != trainer.state.global_step:
        trainer.evaluate()


def _report_final(trainer: Any, fold: Fold | None) -> None:
    from kubestudy_trial.callback import KubestudyCallback

    callback = trainer.pop_callback(KubestudyCallback)
    state = trainer.state
    default_reporter().report(
        state.global_step,
        epoch=state.epoch,
        fold=fold.index if fold else None,
        final=True,
        **callback.metrics,
    )


def _scores(options: Options, corpus: data.Corpus) -> Any:
    from kubestudy_trial.scores import scores_for

    return scores_for(options.task, len(corpus.names) if corpus.names else None)


@contextlib.contextmanager
def _checkpoint_folder(
    options: Options, environment: Environment, fold: Fold | None
) -> Iterator[tuple[Path, bool]]:
    """The folder for checkpoints, and whether it outlives this process."""
    if (given := environment.checkpoint_dir_of(fold)) is not None:
        yield given, True
    elif options.checkpoint_dir is not None:
        yield _of_this_trial(Path(options.checkpoint_dir), environment, fold), True
    else:
        with tempfile.TemporaryDirectory(prefix="kubestudy-trial-") as folder:
            yield Path(folder), False


def _output_folder(options: Options, environment: Environment, fold: Fold | None) -> Path | None:
    if environment.output_dir is not None:
        return environment.output_dir
    if options.output_dir is not None:
        return _of_this_trial(Path(options.output_dir), environment, fold)
    return None


def _of_this_trial(folder: Path, environment: Environment, fold: Fold | None) -> Path:
    """A folder in a Study's arguments is the same for all trials, so each has its own in it."""
    if environment.trial:
        folder /= environment.trial
        if fold:
            folder /= fold.name
    return folder


def _training_arguments(
    wanted: Mapping[str, Any], folder: Path, is_kept: bool, has_gpu: bool
) -> Any:
    """The user's settings, on top of defaults that suit a trial."""
    from transformers import TrainingArguments

    evaluation = "steps" if "eval_steps" in wanted else "epoch"
    saving = "steps" if "save_steps" in wanted else "epoch" if is_kept else "no"
    if wanted.get("load_best_model_at_end"):
        saving = wanted.get("eval_strategy", evaluation)  # transformers wants them to agree.
    defaults: dict[str, Any] = {
        "dataloader_pin_memory": has_gpu,
        "disable_tqdm": not sys.stderr.isatty(),
        "eval_strategy": evaluation,
        "logging_steps": 50,
        "report_to": "none",
        "save_strategy": saving,
        "save_total_limit": 2,  # One to go on from, and one in case that is broken.
    }
    fixed: dict[str, Any] = {
        "enable_jit_checkpoint": False,  # It ends as if all went well; the callback does not.
        "logging_nan_inf_filter": wanted.get("logging_nan_inf_filter", False),
        "output_dir": str(folder),
    }
    try:
        return TrainingArguments(**(defaults | dict(wanted) | fixed))
    except Failure:
        raise
    except (ImportError, TypeError, ValueError) as error:
        raise InvalidArgument(str(error)) from error
