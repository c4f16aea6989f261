"""One prediction at a time: who comes later waits, and sees how many are before him."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from lightning_brats.errors import BratsError, ConfigError

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class CancelledError(Exception):
    """Ends a job from within."""


@dataclass(eq=False)
class Job:
    """Something that takes a while.

    Args:
        owner: The session that wants it.
        work: Called with the job; what it returns is the result.
        part: Which of how many equal parts of the work is being done; from 0.
    """

    owner: str
    work: Callable[[Job], Any]
    state: State = "waiting"
    stage: str = ""
    share: float = 0.0
    result: Any = None
    problem: str = ""
    remedy: str = ""
    seconds: float = 0.0
    part: tuple[int, int] = (0, 1)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    def at(self, stage: str, share: float) -> None:
        """Tell how far the work is; its way out where it was cancelled.

        Args:
            stage: What is being done.
            share: Of the whole, 0 to 1.

        Raises:
            CancelledError: It was.
        """
        if self._stop.is_set():
            raise CancelledError
        number, parts = self.part
        self.stage = stage if parts == 1 else f"{number + 1} of {parts}: {stage}"
        self.share = (number + share) / parts

    def cancel(self) -> None:
        """Have it stop at its next step."""
        self._stop.set()

    def run(self) -> None:
        """Do the work, and keep what came of it."""
        began = time.perf_counter()
        try:
            self.at("starting", 0)
            self.result = self.work(self)
            self.state = "done"
        except CancelledError:
            self.state = "cancelled"
        except BratsError as error:
            self._fail(error.problem, error.remedy or "")
        except MemoryError:
            problem = "there is not enough memory for this volume"
            self._fail(problem, "resample it, or use a machine with more")
        except Exception as error:
            if self._stop.is_set():  # whose visitor left, and the files with them
                self.state = "cancelled"
                return
            log.exception("a prediction failed")
            problem = f"something unexpected happened ({type(error).__name__})"
            self._fail(problem, "see the server's terminal; other cases are not affected")
        self.seconds = time.perf_counter() - began

    def _fail(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        self.state = "failed"  # last, since others look at it meanwhile


class Queue:
    """Runs jobs one after the other in a thread of its own.

    Args:
        waiting: Jobs that may wait.
    """

    def __init__(self, waiting: int) -> None:
        self.limit = waiting
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, name="predictions", daemon=True).start()

    def submit(self, owner: str, work: Callable[[Job], Any]) -> Job:
        """Put work in line.

        Raises:
            ConfigError: The line is full, or its owner stands in it already.
        """
        job = Job(owner, work)
        with self._changed:
            if any(other.owner == owner for other in self._unfinished()):
                raise ConfigError(
                    "another prediction of yours is still running",
                    remedy="wait for it, or cancel it",
                )
            if len(self._waiting) >= self.limit:
                raise ConfigError(
                    f"{self.limit} predictions are waiting already", remedy="try again later"
                )
            self._waiting.append(job)
            self._changed.notify()
        return job

    def before(self, job: Job) -> int:
        """How many jobs come before this one; 0 where it is running."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def cancel(self, owner: str) -> None:
        """Stop what a session has asked for."""
        with self._changed:
            for job in [job for job in self._unfinished() if job.owner == owner]:
                job.cancel()
                if job in self._waiting:
                    self._waiting.remove(job)
                    job.state = "cancelled"

    def _unfinished(self) -> list[Job]:
        running = [self._running] if self._running and not self._running.is_over else []
        return [*running, *self._waiting]

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                job = self._running = self._waiting.pop(0)
            job.state = "running"
            job.run()
            with self._changed:
                self._running = None
            del job
