"""Everything that can fail, as one tree.

::

    HounsfieldError
    ├── PermanentError              trying again cannot help: quarantine, or tell the person
    │   ├── ConfigError             a setting is unknown, missing or contradictory
    │   ├── UnreadableFile          bytes that are not DICOM, or stop in mid-file
    │   ├── IncompleteStudy         what is here is not what the source says it has
    │   ├── ContentCollision        one SOPInstanceUID, two contents
    │   ├── InvalidStudy            a validation suite refused it
    │   ├── DeidentificationError   the patient could not be taken out with certainty
    │   ├── GeometryError           slices that do not make a volume
    │   ├── UndecodablePixels       pixel data that no codec here reads
    │   ├── ModelError              a bundle, version or output that cannot be used
    │   ├── DeliveryRefused         the PACS said no, for good
    │   ├── Undelivered             not taken, or not proven, in the time that was set
    │   ├── OnHold                  a legal hold keeps what was to be deleted
    │   │   └── ObjectLocked        the store keeps it by itself, and names until when
    │   ├── IntegrityError          a checksum or an audit chain does not agree
    │   ├── WrongRegion             data of one region, and a root of another
    │   └── NotFound                no such study, product, model or object
    ├── InternalError               a fault of ours: names the place in the code, never a value
    └── TransientError              the same call may succeed later: retry with backoff
        ├── PacsUnavailable         no association, aborted, timed out, or out of resources
        ├── StoreUnavailable        a zone cannot be reached or is full
        ├── DatabaseUnavailable     the catalog's or the vault's database does not answer
        └── NotYet                  nothing is wrong: come back after the seconds that it names
            └── StudyLocked         another run holds this study just now

Each error says what happened, to which object (by pseudonym) and what to do.
No identifier of a patient is ever put into one: messages are logged as they are.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import ClassVar, Self

__all__ = [
    "ConfigError",
    "ContentCollision",
    "DatabaseUnavailable",
    "DeidentificationError",
    "DeliveryRefused",
    "GeometryError",
    "HounsfieldError",
    "IncompleteStudy",
    "IntegrityError",
    "InternalError",
    "InvalidStudy",
    "ModelError",
    "NotFound",
    "NotYet",
    "ObjectLocked",
    "OnHold",
    "PacsUnavailable",
    "PermanentError",
    "StoreUnavailable",
    "StudyLocked",
    "TransientError",
    "UndecodablePixels",
    "Undelivered",
    "UnreadableFile",
    "WrongRegion",
]

_PACKAGE = Path(__file__).parent


class HounsfieldError(Exception):
    """The root of the tree.

    Parameters
    ----------
    what
        What happened, as a sentence without any patient identifier.
    where
        The object it happened to: a study key, a product, a setting's path.
    remedy
        What a person can do about it.
    """

    code: ClassVar[str] = "error"

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.remedy})" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by BaseException's own pickling, and errors
        # travel between worker processes. What led to one stays behind: once Dask is imported,
        # tblib pickles it too, and it could quote a patient.
        self.__cause__ = self.__context__ = None
        return (_rebuild, (type(self), self.what, self.where, self.remedy))


def _rebuild(cls: type[HounsfieldError], what: str, where: str, remedy: str) -> HounsfieldError:
    return cls(what, where=where, remedy=remedy)


class PermanentError(HounsfieldError):
    """Trying again cannot help."""

    code = "permanent"


class ConfigError(PermanentError, ValueError):
    """A setting is unknown, missing or contradictory."""

    code = "config"


class UnreadableFile(PermanentError, ValueError):
    """Bytes that are not DICOM, or that stop in mid-file."""

    code = "unreadable-file"


class IncompleteStudy(PermanentError):
    """What is here is not what the source says it has."""

    code = "incomplete-study"


class ContentCollision(PermanentError):
    """One SOPInstanceUID came with two contents."""

    code = "content-collision"


class InvalidStudy(PermanentError, ValueError):
    """A validation suite refused the study."""

    code = "invalid-study"


class DeidentificationError(PermanentError):
    """The patient could not be taken out of an object with certainty."""

    code = "deidentification"


class GeometryError(PermanentError, ValueError):
    """Slices that do not make a volume."""

    code = "geometry"


class UndecodablePixels(PermanentError, ValueError):
    """Pixel data that no codec here reads."""

    code = "undecodable-pixels"


class ModelError(PermanentError):
    """A bundle, a model version or an output that cannot be used."""

    code = "model"


class DeliveryRefused(PermanentError):
    """The PACS refused an object for good."""

    code = "delivery-refused"


class Undelivered(PermanentError):
    """The destination did not take a result, or prove that it has it, in the time that was set."""

    code = "undelivered"


class OnHold(PermanentError):
    """A legal hold keeps what was to be deleted."""

    code = "on-hold"


class ObjectLocked(OnHold):
    """A store keeps versions of what was to be deleted; all else of it is gone.

    Parameters
    ----------
    until
        When the last lock ends, in ISO 8601; empty where the store does not tell.
    """

    code = "object-locked"

    def __init__(self, what: str, *, where: str = "", remedy: str = "", until: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.until = until

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"until": self.until})


class IntegrityError(PermanentError):
    """A checksum, or the audit chain, does not agree."""

    code = "integrity"


class WrongRegion(PermanentError):
    """Data of one region were to be written to a root of another."""

    code = "wrong-region"


class NotFound(PermanentError, LookupError):
    """No such study, product, model or object."""

    code = "not-found"


class InternalError(HounsfieldError):
    """A fault of ours. The original exception's text could quote a patient, so it is dropped."""

    code = "internal"

    @classmethod
    def of(cls, error: BaseException, *, where: str = "") -> Self:
        """What is left of an error that is not of this tree: its type, and where in our code."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
        what = type(error).__name__
        for last in (ours or frames)[-1:]:
            what += f" in {Path(last.filename).name} line {last.lineno}"
        return cls(what, where=where, remedy="report it with this line")


class TransientError(HounsfieldError):
    """The same call may succeed later."""

    code = "transient"


class PacsUnavailable(TransientError, ConnectionError):
    """No association, an abort, a time-out, or a PACS out of resources."""

    code = "pacs-unavailable"


class StoreUnavailable(TransientError, OSError):
    """A zone cannot be reached, or is full."""

    code = "store-unavailable"


class DatabaseUnavailable(TransientError):
    """The catalog's or the vault's database does not answer, is busy, or its disk is full."""

    code = "database-unavailable"


class NotYet(TransientError):
    """What is waited for takes its time: the same call again after so many seconds.

    Whoever calls waits without holding a worker; what was done so far is written down.

    Parameters
    ----------
    seconds
        How long to wait.
    """

    code = "not-yet"

    def __init__(
        self, what: str, *, where: str = "", remedy: str = "", seconds: float = 60
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.seconds = seconds

    def __reduce__(self) -> tuple[object, ...]:
        self.__cause__ = self.__context__ = None
        return (_rebuild_not_yet, (type(self), self.what, self.where, self.remedy, self.seconds))


def _rebuild_not_yet(
    cls: type[NotYet], what: str, where: str, remedy: str, seconds: float
) -> NotYet:
    return cls(what, where=where, remedy=remedy, seconds=seconds)


class StudyLocked(NotYet):
    """Another run holds this study just now, for as long as that takes: it is waited for."""

    code = "study-locked"
