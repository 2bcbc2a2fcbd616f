"""What is up from entry to exit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class UpWhileEntered(ABC):
    """Starts on entry and stops on exit; what is left of a start that fails is stopped too."""

    @abstractmethod
    def start(self) -> None:
        """Brings it up."""

    @abstractmethod
    def stop(self) -> None:
        """Takes it down, or what there is of it."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
