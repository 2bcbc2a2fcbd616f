"""What a trial finds around it: variables, CPUs, a place for its model."""

from pathlib import Path

import pytest

from kubestudy_trial.cpus import available_cpus
from kubestudy_trial.environment import Environment, Fold
from kubestudy_trial.failures import InvalidArgument
from kubestudy_trial.output import publish


def test_an_empty_environment_is_a_trial_by_hand() -> None:
    assert Environment.read({}) == Environment()


def test_the_fold() -> None:
    variables = {
        "KUBESTUDY_FOLD": "2",
        "KUBESTUDY_FOLDS": "3",
        "KUBESTUDY_FOLD_SEED": "7",
        "KUBESTUDY_FOLD_STRATIFIED": "false",
    }
    assert Environment.read(variables).folds == (Fold(2, 3, 7, False),)


def test_several_folds_in_one_process() -> None:
    variables = {"KUBESTUDY_FOLD": "1,2", "KUBESTUDY_FOLDS": "3"}
    assert Environment.read(variables).folds == (Fold(1, 3), Fold(2, 3))


@pytest.mark.parametrize(
    ("folder", "path"), [("/c/study-1", "/c/study-1/fold-2"), ("/c/fold-2", "/c/fold-2")]
)
def test_the_checkpoints_of_each_fold_are_apart(folder: str, path: str) -> None:
    environment = Environment.read({"KUBESTUDY_CHECKPOINT_DIR": folder})
    assert environment.checkpoint_dir_of(Fold(2, 3)) == Path(path)
    assert environment.checkpoint_dir_of(None) == Path(folder)


@pytest.mark.parametrize(
    "variables",
    [
        {"KUBESTUDY_FOLD": "3", "KUBESTUDY_FOLDS": "3"},
        {"KUBESTUDY_FOLD": "0", "KUBESTUDY_FOLDS": "1"},
        {"KUBESTUDY_FOLD": "first", "KUBESTUDY_FOLDS": "3"},
        {"KUBESTUDY_FOLD": "0,3", "KUBESTUDY_FOLDS": "3"},
        {"KUBESTUDY_FOLD": "0;1", "KUBESTUDY_FOLDS": "3"},
        {"KUBESTUDY_METRICS_PORT": "http"},
        {"KUBESTUDY_LINGER_SECONDS": "a while"},
        {"KUBESTUDY_PARAMETERS": "{"},
        {"KUBESTUDY_PARAMETERS": "[1]"},
    ],
)
def test_variables_that_break_the_contract_are_named(variables: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(variables))):
        Environment.read(variables)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({}, 64),
    ],
)
def test_a_limit_on_cpus_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cpus: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cpus(tmp_path) == cpus


def save(folder: Path) -> None:
    (folder / "config.json").write_text("new")
    (folder / "model.safetensors").write_text("new")


def test_a_model_replaces_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    publish(save, target)
    (target / "left-over").touch()
    publish(save, target)
    assert sorted(item.name for item in target.iterdir()) == ["config.json", "model.safetensors"]
    assert list(target.parent.iterdir()) == [target]


def test_a_model_half_written_is_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "config.json").touch()
        raise ValueError

    with pytest.raises(ValueError):
        publish(fail, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_replaced_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a volume mounted right there.
    target = tmp_path / "model"
    target.mkdir()
    (target / "config.json").write_text("old")
    replace = Path.replace

    def refuse(self: Path, other: Path) -> Path:
        if other == target:
            raise OSError("Device or resource busy")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", refuse)
    publish(save, target)
    assert (target / "config.json").read_text() == "new"
    assert sorted(item.name for item in target.iterdir()) == ["config.json", "model.safetensors"]
    assert list(tmp_path.iterdir()) == [target]
