"""The ways in which a trial ends early, each with its reason and its exit code.

They are `SystemExit`s: in a script that knows nothing of kubestudy the exit code is right all the
same, and no `except Exception` on the way takes a preempted trial for a finished one.
"""


class Failure(SystemExit):
    """The trial ends without a result."""

    reason = "Failed"
    exit_code = 1

    def __init__(self, message: str):
        super().__init__(self.exit_code)
        self.message = message

    def __str__(self) -> str:
        return self.message


class InvalidArgument(Failure):
    """The user's mistake: an unknown argument, a wrong value, a missing column."""

    reason = "InvalidArgument"
    exit_code = 64


class Diverged(Failure):
    """The loss or a metric is not a finite number."""

    reason = "Diverged"
    exit_code = 65


class DataUnavailable(Failure):
    """The data or the model cannot be had."""

    reason = "DataUnavailable"
    exit_code = 69


class OutOfMemory(Failure):
    """The host or the GPU has too little memory."""

    reason = "OutOfMemory"
    exit_code = 71


class Interrupted(Failure):
    """Stopped from outside before the end."""

    reason = "Interrupted"
    exit_code = 75


# Known by name, so that nobody has to import torch or the hub's client to recognise them.
_UNAVAILABLE = {
    "ConnectionError",
    "DatasetNotFoundError",
    "GatedRepoError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "RepositoryNotFoundError",
}
_OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def classify(error: BaseException) -> Failure:
    """Tell what became of a trial from the exception that ended it."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted from the keyboard")
    message = f"{type(error).__name__}: {error}"
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"} or (
        isinstance(error, RuntimeError | OSError)
        and any(text in str(error).lower() for text in _OUT_OF_MEMORY_TEXTS)
    ):
        return OutOfMemory(
            f"{message} (a smaller per_device_train_batch_size with more "
            "gradient_accumulation_steps needs less)"
        )
    if names & _UNAVAILABLE:
        return DataUnavailable(message)
    failure = Failure(message)
    if isinstance(error, SystemExit):
        failure.code = error.code
        failure.message = f"the program exited with {error.code}"
    return failure
