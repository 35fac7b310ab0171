"""The verbs of the workbench. The command line and the interface both call these, and nothing deeper."""

from __future__ import annotations

import copy
from pathlib import Path

from app.verbs.assessing import AssessingVerbs
from app.verbs.backing_up import BackupVerbs
from app.verbs.bringing import BringVerbs
from app.verbs.calibrating import CalibrationVerbs
from app.verbs.disagreeing import DisagreementVerbs
from app.verbs.evaluation_details import EvaluationDetailVerbs
from app.verbs.example import ExampleVerbs
from app.verbs.fitting import FittingVerbs
from app.verbs.language import LanguageVerbs
from app.verbs.measures import MeasureVerbs
from app.verbs.models import ModelVerbs
from app.verbs.reading import ReadingVerbs
from app.verbs.reporting import ReportVerbs
from app.verbs.training import TrainingVerbs
from app.verbs.voting import VotingVerbs
from engine.serving.engine import Engine


class Services(
    ReportVerbs,
    ExampleVerbs,
    ModelVerbs,
    ReadingVerbs,
    EvaluationDetailVerbs,
    AssessingVerbs,
    VotingVerbs,
    DisagreementVerbs,
    FittingVerbs,
    BackupVerbs,
    BringVerbs,
    CalibrationVerbs,
    LanguageVerbs,
    MeasureVerbs,
    TrainingVerbs,
):
    """One workspace, open. Thread-safe; one per process. Every verb raises `engine.errors.TriptychError` for what a user can act on."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.engine = Engine.open(Path(folder).expanduser().resolve(), read_only=read_only)
        self.folder = self.engine.workspace.folder
        self.read_only = self.engine.workspace.read_only

    def for_reading(self) -> Services:
        """The same open workspace for one who may change nothing: verbs that write are refused, and those that find something keep nothing."""
        reading = copy.copy(self)
        reading.read_only = True
        return reading

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop at the running job's next step and let go of the workspace."""
        self.engine.close()
