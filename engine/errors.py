"""Errors that a user can act on. Every message names the input and the remedy."""

from __future__ import annotations


class TriptychError(Exception):
    """Base of all errors that are the user's to resolve; `exit_code` is what the command line returns."""

    exit_code = 1


class BadInput(TriptychError):
    """An argument, file, name, query or specification that cannot be used as it is."""

    exit_code = 2


class NotFound(TriptychError):
    """A collection, document, pipeline, job or index that does not exist."""

    exit_code = 3


class WorkspaceInUse(TriptychError):
    """Another process owns the workspace."""

    exit_code = 4


class WorkspaceDamaged(TriptychError):
    """A stored file is missing, truncated, altered, or of a newer version than this program reads."""

    exit_code = 5


class ReadOnly(TriptychError):
    """A write was asked of a workspace that was opened for reading only."""

    exit_code = 6


class MissingDependency(TriptychError):
    """An optional package is not installed; the message carries the install command."""

    exit_code = 7


class StorageFull(TriptychError):
    """The disk is full, or a quota was reached; nothing was changed."""

    exit_code = 8


class StorageFailed(TriptychError):
    """The disk reported an error while writing; what was stored before is unchanged."""

    exit_code = 11


class IndexNotReady(TriptychError):
    """A pipeline needs an index that is not built yet, or was built with another encoder."""

    exit_code = 9


class IndexBeingBuilt(IndexNotReady):
    """A pipeline needs an index that a job is building; waiting is the remedy."""


class ModelMissing(IndexNotReady):
    """A pipeline needs an index whose model is not here, so that it cannot be built; getting the model is the
    remedy."""


class NotExact(TriptychError):
    """An index that keeps no vectors and no exact scores was asked for them; what it finds is all that it can tell."""


class Cancelled(TriptychError):
    """The work was cancelled on request; what was committed before stays."""

    exit_code = 130


class Unreachable(TriptychError):
    """A server did not answer, or answered with something else than was asked of it; nothing was changed."""

    exit_code = 10
