"""One study at a time: gather what is known, look at the pixels, walk the headers, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from pydicom.dataset import Dataset

from hounsfield.deid.identifiers import KnownIdentifiers
from hounsfield.deid.plan import Plan
from hounsfield.deid.profile import Profile
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.refusals import refuse_unsafe
from hounsfield.deid.reports import HeaderRecord, InstanceRecord, Note, StudyReport
from hounsfield.deid.stamp import stamp_header
from hounsfield.deid.study import Naming, StudyCleaner
from hounsfield.deid.table import EDITION
from hounsfield.deid.text import TextCleaner
from hounsfield.deid.walker import Walker
from hounsfield.errors import DeidentificationError, HounsfieldError
from hounsfield.pseudonyms import Pseudonyms

__all__ = ["Deidentifier", "Naming"]


class Deidentifier:
    """Applies one profile with one project key.

    Parameters
    ----------
    profile
        Which options of the Standard are on.
    pseudonyms
        Of the project.
    recipe
        A site's overrides; by default the one that the profile names.
    pixels
        Whether to look for burned-in text, where the profile asks for it.

    Examples
    --------
    >>> deidentifier = Deidentifier(Profile.load("research"), pseudonyms)  # doctest: +SKIP
    >>> report = deidentifier.study(paths, Path("out"))  # doctest: +SKIP
    """

    def __init__(
        self,
        profile: Profile,
        pseudonyms: Pseudonyms,
        recipe: Recipe | None = None,
        *,
        pixels: bool = True,
    ) -> None:
        self.profile = profile
        self.pseudonyms = pseudonyms
        self.recipe = recipe or Recipe.of(profile)
        self.plan = Plan(profile, self.recipe.overrides)
        self.looks_at_pixels = pixels and profile.clean_pixel_data

    def header(self, dataset: Dataset, known: KnownIdentifiers) -> HeaderRecord:
        """De-identifies everything but the pixels, in place.

        Parameters
        ----------
        known
            Gathered over the whole study, this dataset included.

        Raises
        ------
        DeidentificationError
            The dataset cannot be cleaned, or somebody may be heard in it; what is left of it must
            not be used.
        UnreadableFile
            It does not say what it is, or nests without end.
        """
        refuse_unsafe(dataset)
        notes = self.clean_header(dataset, self.walker(known))
        return HeaderRecord(chain.from_iterable(notes.values()))

    def study(self, paths: Sequence[Path], destination: Path) -> StudyReport:
        """De-identifies the files of one study.

        Parameters
        ----------
        paths
            Its files as received.
        destination
            Folder that gets ``<new SeriesInstanceUID>/<new SOPInstanceUID>.dcm``.

        Returns
        -------
        StudyReport
            Every file with its output, or the reason why there is none. An output in which text
            is ``left`` must not go anywhere before a person has looked at it.
        """
        return self.files(paths, destination, _by_uid)

    def files(
        self,
        paths: Sequence[Path],
        destination: Path,
        name: Naming,
        progress: Callable[[int], None] | None = None,
    ) -> StudyReport:
        """As :meth:`study`, with names of the caller's choice.

        Parameters
        ----------
        progress
            Called with the index of each file that is done.
        """
        done: list[InstanceRecord] = []
        for record in StudyCleaner(self, destination, name).clean(paths):
            done.append(record)
            if progress is not None:
                progress(record.source)
        return self._report(done)

    def clean_header(self, dataset: Dataset, walker: Walker) -> dict[int, list[Note]]:
        """As :meth:`header`, within a study; says by tag of the top level what was done."""
        try:
            notes = walker.walk(dataset)
            self.recipe.add(dataset)
            stamp_header(dataset, self.profile)
        except HounsfieldError:
            raise
        except Exception as error:  # its message may quote a value
            raise DeidentificationError(
                "the header of an object cannot be cleaned", where=type(error).__name__
            ) from None
        return notes

    def walker(self, known: KnownIdentifiers) -> Walker:
        """For the objects of a study of which so much is known."""
        profile = self.profile
        cleaner = TextCleaner(
            known,
            keep_dates=profile.retain_full_dates,
            keep_devices=profile.retain_device_identity,
            keep_places=profile.retain_institution_identity,
        )
        return Walker(self.plan, self.pseudonyms, cleaner, known.patients)

    def _report(self, records: list[InstanceRecord]) -> StudyReport:
        return StudyReport(
            profile=self.profile.name,
            profile_digest=self.profile.digest,
            edition=EDITION,
            key_version=self.pseudonyms.version,
            key_fingerprint=self.pseudonyms.fingerprint,
            instances=tuple(sorted(records, key=lambda record: record.source)),
        )


def _by_uid(_: int, series_instance_uid: str, sop_instance_uid: str) -> str:
    return f"{series_instance_uid or 'none'}/{sop_instance_uid}.dcm"
