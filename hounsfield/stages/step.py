"""One step of a study's life: timed, written to its timeline, its failures sorted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from hounsfield.catalog.models import Event
from hounsfield.errors import HounsfieldError, InternalError, NotFound, NotYet, PermanentError
from hounsfield.records import RunContext
from hounsfield.site import Site

__all__ = ["Step", "step"]

log = logging.getLogger(__name__)


@dataclass
class Step:
    """What a stage tells about itself while it runs.

    Attributes
    ----------
    uri
        Where the bytes are of what may be refused.
    source
        Which one is asked, if one is.
    spares_study
        Whether a refusal is noted, and the study goes on all the same.
    """

    stage: str
    study_key: str
    sentence: str = ""
    digest: str = ""
    version: str = ""
    uri: str = ""
    source: str = ""
    spares_study: bool = False

    def say(self, sentence: str, *, digest: str = "", version: str = "") -> None:
        """The outcome, as a sentence for the timeline and the task's log. No PHI."""
        self.sentence = sentence
        self.digest = digest or self.digest
        self.version = version or self.version
        told = f" [{self.version}]" if self.version else ""
        log.info("Study %s: %s%s", self.study_key, sentence, told)


@contextmanager
def step(
    site: Site,
    study_key: str,
    stage: str,
    run: RunContext,
    *,
    quarantine: bool = True,
    arrives: bool = False,
) -> Iterator[Step]:
    """Runs a stage's block and writes its event, whatever the end.

    Of a study whose patient was erased meanwhile nothing is written, unless it `arrives` again.

    A permanent error puts the study into quarantine with its reason, unless `quarantine` is
    false (a refused result does not make its study a bad one). An error that is not of our
    tree is a fault of ours: its text may quote a patient, so only its type and place go on.
    """
    started = time.perf_counter()
    record = Step(stage, study_key)
    state = "done"
    try:
        yield record
    except PermanentError as error:
        state, record.sentence = "refused", _sentence(error)
        if quarantine:
            with suppress(NotFound):
                site.catalog.quarantine(
                    study_key,
                    stage=stage,
                    code=error.code,
                    reason=record.sentence,
                    digest=record.digest,
                    uri=record.uri,
                    source=record.source,
                    arrives=arrives,
                )
            if not record.spares_study:
                site.catalog.set_state(study_key, "quarantined", record.sentence)
        raise
    except NotYet as wait:
        state, record.sentence = "waiting", _sentence(wait)
        raise
    except HounsfieldError as error:
        state, record.sentence = "failed", _sentence(error)
        raise
    except Exception as error:
        fault = InternalError.of(error, where=study_key)
        state, record.sentence = "failed", _sentence(fault)
        raise fault from None
    except BaseException:
        state, record.sentence = "failed", "It was stopped from outside before its end."
        raise
    finally:
        event = Event(
            study_key=study_key,
            stage=stage,
            state=state,
            sentence=record.sentence,
            digest=record.digest,
            version=record.version,
            seconds=round(time.perf_counter() - started, 3),
            **run.to_dict(),
        )
        of = () if arrives else (study_key,)
        with suppress(NotFound), site.catalog.write(*of) as session:
            session.add(event)


def _sentence(error: HounsfieldError) -> str:
    return f"{error.what} ({error.remedy})" if error.remedy else error.what
