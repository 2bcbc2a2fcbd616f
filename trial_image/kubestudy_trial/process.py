"""How a trial's process ends: its exit code and its termination message."""

import contextlib
import logging
from collections.abc import Iterator

from kubestudy_trial.failures import Failure, Interrupted, classify
from kubestudy_trial.interruption import interruption, restored_signals
from kubestudy_trial.reporting import default_reporter

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def outcome() -> Iterator[None]:
    """Run a trial: its end becomes the exit code and the termination message of the contract.

    A completed trial keeps its metrics endpoint up for KUBESTUDY_LINGER_SECONDS.

    Raises:
        SystemExit: With the exit code, unless the trial completed.
    """
    try:
        reporter = default_reporter()
    except Failure as failure:  # A variable is wrong, and so there is no reporter to tell it.
        _log.error("%s: %s", failure.reason, failure)
        raise
    with restored_signals():
        interruption.install(reporter.fail)
        try:
            yield
        except SystemExit as error:
            if error.code:
                raise _settled(error) from None
        except BaseException as error:
            raise _settled(error) from error
        reporter.conclude("Completed")
        if reporter.is_scraped and reporter.environment.linger_seconds > 0:
            interruption.linger(reporter.environment.linger_seconds)


def _settled(error: BaseException) -> Failure:
    failure = classify(error)
    if interruption.requested and not isinstance(failure, Interrupted):
        # A signal to the whole process group takes the data loader's workers as well.
        failure = Interrupted(f"interrupted, and then {failure}")
    _log.error(
        "%s: %s", failure.reason, failure, exc_info=error if type(failure) is Failure else None
    )
    default_reporter().fail(failure)
    return failure
