"""Words of other tools, and what stands for them in a Study: who moves here writes them first.

docs/other-tools.md has the same as a table.
"""

from __future__ import annotations

_KATIB = {
    "objective": "objectives, a list: [{metric: accuracy, direction: Maximize, target: 0.99}]",
    "objectiveMetricName": "metric",
    "additionalMetricNames": "nothing: whatever a trial reports is kept; leave it out",
    "metricStrategies": "strategy (Last or Best) of an objective",
    "goal": "target",
    "Objective.type": "direction: Maximize or Minimize",
    "algorithmName": "type",
    "algorithmSettings": "settings, an object such as {startupTrials: 20}",
    "parallelTrialCount": "budget.parallelism",
    "maxTrialCount": "budget.maxTrials",
    "maxFailedTrialCount": "budget.maxFailedTrials",
    "parameterType": "type: Double or Int for a range; numbers go to values, strings to choices",
    "feasibleSpace": "min, max, step and scale, or values (numbers) or choices (strings), each a"
    " field of the parameter itself",
    "list": "values (numbers) or choices (strings)",
    "trialTemplate": "trial: image, command and args, or a pod's template",
    "trialSpec": "trial.template, a pod's template, or trial.image, command and args",
    "trialParameters": "nothing: write ${parameters.lr} where the value of the parameter lr goes",
    "primaryContainerName": "nothing: the first container of trial.template trains",
    "primaryPodLabels": "nothing: each trial is one pod",
    "successCondition": "nothing: exit code 0 is success",
    "failureCondition": "nothing: any other exit code than 0 is failure",
    "metricsCollectorSpec": "metrics: [{type: Logs}], or nothing: logs are read anyway",
    "resumePolicy": "nothing: raise budget.maxTrials, and an ended Study goes on",
    "nasConfig": "nothing: kubestudy does not search architectures",
}
_WANDB = {
    "method": "algorithm: {type: TPE} (or Grid, Random, ...)",
    "metric": "objectives: [{metric: accuracy, direction: Maximize}]",
    "program": "trial.command, such as [python, train.py]",
    "distribution": "scale: Log for log_uniform_values, type: Int for int_uniform, else nothing",
    "count": "budget.maxTrials",
    "run_cap": "budget.maxTrials",
    "early_terminate": "earlyStopping",
    "value": "values, a list of one number, or choices, a list of one string",
    "q": "step",
}
_RAY = {
    "num_samples": "budget.maxTrials",
    "mode": "direction: Maximize or Minimize",
    "search_alg": "algorithm",
    "scheduler": "algorithm: {type: ASHA} (or Hyperband, BOHB, PBT), or earlyStopping",
    "max_concurrent_trials": "budget.parallelism",
    "resources_per_trial": "trial.gpus and trial.resources",
    "param_space": "parameters",
    "lower": "min",
    "upper": "max",
    "time_attr": "algorithm.resource.name",
    "max_t": "algorithm.resource.max",
    "grace_period": "algorithm.resource.min",
    "reduction_factor": "algorithm.resource.eta",
}
_OPTUNA = {
    "n_trials": "budget.maxTrials",
    "n_jobs": "budget.parallelism",
    "direction": "objectives: [{metric: accuracy, direction: Maximize}]",
    "directions": "objectives: [{metric: accuracy, direction: Maximize}]",
    "sampler": "algorithm",
    "pruner": "earlyStopping",
    "low": "min",
    "high": "max",
    "log": "scale: Log",
}
_TOOLS = {"Katib": _KATIB, "W&B": _WANDB, "Ray Tune": _RAY, "Optuna": _OPTUNA}
FIELDS = {
    word: (tool, here) for tool, words in reversed(_TOOLS.items()) for word, here in words.items()
}
"""By field, or by model and field: whose word it is, and what to write here."""

VALUES = {
    "float": "Double",
    "integer": "Int",
    "discrete": "values",
    "categorical": "choices",
    "log_uniform_values": "Log",
    "log_uniform": "Log",
    "loguniform": "Log",
    "uniform": "Linear",
    "bayes": "TPE",
    "bayesian": "TPE",
    "bayesianoptimization": "GP",
    "stdout": "Logs",
    "max": "Maximize",
    "min": "Minimize",
    "medianstop": "Median",
}
"""Values of such fields in lower case, and the word here."""

KATIB_EXPERIMENT = (
    "a Katib Experiment is no Study: write one, with apiVersion kubestudy.dev/v1alpha1, objectives"
    " for objective, min, max, values and choices for feasibleSpace, budget for the counts of"
    " trials, and trial for trialTemplate (docs/other-tools.md has all of it)"
)


def counterpart(model: str, field: str) -> str | None:
    """What to write for another tool's field of a model; None where no tool is known to have it."""
    found = FIELDS.get(f"{model}.{field}") or FIELDS.get(field)
    if found is None:
        return None
    tool, here = found
    if here.startswith("nothing"):
        return f"{tool}'s {field} is not needed{here.removeprefix('nothing')}"
    return f"for {tool}'s {field} write {here}"
