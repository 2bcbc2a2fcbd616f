"""A trial of a kubestudy Study.

`report()` sends metrics from any script, `KubestudyCallback` from the Hugging Face `Trainer`, and
`python -m kubestudy_trial` is a whole trainer. None of this imports torch before it is needed.
"""

from typing import TYPE_CHECKING, Any

from kubestudy_trial.process import outcome
from kubestudy_trial.reporting import parameters, report

if TYPE_CHECKING:
    from kubestudy_trial.callback import KubestudyCallback

__all__ = ["KubestudyCallback", "outcome", "parameters", "report"]


def __getattr__(name: str) -> Any:
    if name != "KubestudyCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from kubestudy_trial.callback import KubestudyCallback
    except ImportError as error:
        raise ImportError(
            "KubestudyCallback needs the Hugging Face Trainer: "
            f"install kubestudy-trial with its extra [trainer] ({error})"
        ) from error
    return KubestudyCallback
