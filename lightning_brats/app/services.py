"""What all sessions of a running app share, and what one session knows."""

from __future__ import annotations

import shutil
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lightning_brats.app.demo import Demo
from lightning_brats.app.drawing import Drawn
from lightning_brats.app.intake import Given
from lightning_brats.app.jobs import Job, Queue
from lightning_brats.app.kept import Kept
from lightning_brats.app.segmenting import Result
from lightning_brats.app.settings import Settings, settings
from lightning_brats.app.viewer import static_folder
from lightning_brats.app.workspace import Workspaces
from lightning_brats.data.case import Case
from lightning_brats.errors import BratsError

Made = TypeVar("Made")


@dataclass(frozen=True)
class Outcome:
    """A result, and its picture."""

    result: Result
    drawn: Drawn


@dataclass(frozen=True)
class Services:
    """What all sessions share.

    Args:
        settings: Of the app.
        workspaces: Temporary folders.
        queue: Of predictions.
        kept: Their outcomes.
        demo: The training of the first network.
        viewer: What the browser loads the viewer from.
    """

    settings: Settings
    workspaces: Workspaces
    queue: Queue
    kept: Kept
    demo: Demo
    viewer: Path

    @property
    def runs(self) -> Path:
        """Folder of trained runs."""
        return Path(self.settings.runs)


@dataclass
class Session:
    """What one visitor has given and asked for.

    Args:
        name: Of the session.
        folder: Its temporary files.
        given: Volumes that were uploaded, by case.
        case: The one that was made of them.
        jobs: What is under way, by the part of the page that asked.
        uploads: Counts them; the widget that held them in memory is replaced after each.
        folders: Counts those that were made.
        problem: The last message, and what to do.
        prepared: What was made of the case and is made once, by its name; see `remember`.
    """

    name: str
    folder: Path
    given: list[Given] = field(default_factory=list)
    case: Case | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    uploads: int = 0
    folders: int = 0
    problem: tuple[str, str] | None = None
    prepared: dict[Hashable, Any] = field(default_factory=dict)

    def fresh(self, name: str) -> Path:
        """An empty folder of the session."""
        self.folders += 1
        path = self.folder / f"{name}_{self.folders}"
        path.mkdir(parents=True)
        return path

    def clear(self) -> None:
        """Forget everything, and delete its files: something else is given."""
        self.forget()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.given, self.case, self.problem = [], None, None

    def forget(self) -> None:
        """Drop what came of the case, and what is under way: it is another one now."""
        services().queue.cancel(self.name)
        services().kept.drop(self.name)
        self.jobs.clear()
        self.prepared.clear()

    def remember(self, name: str, of: Hashable, made: Made) -> Made:
        """Keep what was made of something, instead of what was made of something else."""
        self.prepared[name] = (of, made)
        return made

    def remembered(self, name: str, of: Hashable) -> Any | None:
        """What was made of just this; `None` where there is nothing."""
        known, made = self.prepared.get(name, (None, None))
        return made if known == of else None

    def fail(self, error: BratsError) -> None:
        """Keep an error's message for the page, without places on this machine."""
        self.problem = (error.problem, error.remedy or "")


@st.cache_resource(show_spinner=False)
def services() -> Services:
    """Made at the first visit."""
    chosen = settings()
    workspaces = Workspaces(get_instance().is_active_session)
    queue, kept = Queue(chosen.waiting), Kept(chosen.results)
    workspaces.on_end(queue.cancel)
    workspaces.on_end(kept.drop)
    workspaces.watch()
    demo = Demo(Path(chosen.runs))
    return Services(chosen, workspaces, queue, kept, demo, static_folder(workspaces.root))


def session() -> Session:
    """This visitor's."""
    context = get_script_run_ctx()
    assert context is not None
    folder = services().workspaces.folder(context.session_id)
    if "session" not in st.session_state:
        st.session_state["session"] = Session(context.session_id, folder)
    found: Session = st.session_state["session"]
    return found


def outcome(slot: str) -> Outcome | None:
    """What a part of the page has found for this visitor."""
    found: Outcome | None = services().kept.get(session().name, slot)
    return found
