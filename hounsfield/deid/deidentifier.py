"""One study at a time: gather what is known, look at the pixels, walk the headers, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset

from hounsfield.deid.identifiers import KnownIdentifiers
from hounsfield.deid.pixels import (
    Box,
    Look,
    clean_pixels,
    how_to_look,
    mask_known,
    read_pixels,
    scan_series,
)
from hounsfield.deid.plan import Plan
from hounsfield.deid.profile import Profile
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.refusals import refuse_unsafe
from hounsfield.deid.reports import HeaderRecord, InstanceRecord, PixelRecord, StudyReport
from hounsfield.deid.stamp import renew_file_meta, stamp_header, stamp_pixels
from hounsfield.deid.table import EDITION
from hounsfield.deid.text import TextCleaner
from hounsfield.deid.walker import Walker
from hounsfield.dicom.reading import read_header, read_lazily, write_dataset
from hounsfield.errors import DeidentificationError, HounsfieldError, PermanentError, UnreadableFile
from hounsfield.pseudonyms import Pseudonyms

__all__ = ["Deidentifier", "Naming"]

_SMALL = 64 << 20  # bytes of a study whose files are read once, not twice

#: Gives the relative name of an output: from the index of its source, and the new dataset.
Naming = Callable[[int, Dataset], str]


@dataclass(frozen=True, slots=True)
class _Source:
    """What a first look at a file told. Holds PHI.

    Attributes
    ----------
    dataset
        What was read, where the study is small enough to be kept until it is cleaned.
    """

    index: int
    path: Path
    series_instance_uid: str
    look: Look
    dataset: FileDataset | None


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
        self._plan = Plan(profile, self.recipe.overrides)
        self._pixels = pixels and profile.clean_pixel_data

    def header(self, dataset: Dataset, known: KnownIdentifiers) -> HeaderRecord:
        """De-identifies everything but the pixels, in place.

        Parameters
        ----------
        known
            Gathered over the whole study, this dataset included.

        Raises
        ------
        DeidentificationError
            The dataset cannot be cleaned; what is left of it must not be used.
        UnreadableFile
            It does not say what it is, or nests without end.
        """
        return self._header(dataset, self._walker(known))

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
            Every file with its output, or the reason why there is none. A series whose
            projection shows text that cannot be masked is refused as a whole.
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

        def settle(record: InstanceRecord) -> None:
            done.append(record)
            if progress is not None:
                progress(record.source)

        known = KnownIdentifiers()
        series: dict[str, list[_Source]] = {}
        is_small = sum(path.stat().st_size for path in paths if path.exists()) <= _SMALL
        for index, path in enumerate(paths):
            try:
                source, found = self._first_look(index, path, keep=is_small)
            except HounsfieldError as error:
                settle(_refusal(index, error))
                continue
            known |= found
            series.setdefault(source.series_instance_uid, []).append(source)
        walker = self._walker(known)
        for _, members in sorted(series.items()):
            for record in self._series(members, walker, destination, name):
                settle(record)
        return self._report(done)

    def _first_look(
        self, index: int, path: Path, *, keep: bool
    ) -> tuple[_Source, KnownIdentifiers]:
        dataset = read_header(path, stop_before_pixels=False)
        refuse_unsafe(dataset)
        try:
            uid = str(dataset.get("SeriesInstanceUID", ""))
            look = how_to_look(dataset) if self._pixels else Look.NONE
            known = KnownIdentifiers.gather([dataset])
        except HounsfieldError:
            raise
        except Exception as error:  # its message may quote a value
            raise UnreadableFile(
                "a file holds a value that cannot be read", where=type(error).__name__
            ) from None
        return _Source(index, path, uid, look, dataset if keep else None), known

    def _series(
        self, members: list[_Source], walker: Walker, destination: Path, name: Naming
    ) -> Iterable[InstanceRecord]:
        stack = {source.index: source for source in members if source.look is Look.PROJECTION}
        boxes, refused = self._scan(stack)
        for source in members:
            if source.index in refused:
                yield _refusal(source.index, refused[source.index])
                continue
            try:
                yield self._instance(source, boxes.get(source.index, []), walker, destination, name)
            except PermanentError as error:
                yield _refusal(source.index, error)

    def _scan(
        self, stack: dict[int, _Source]
    ) -> tuple[dict[int, list[Box]], dict[int, HounsfieldError]]:
        """Boxes of the text in a stack of slices, and the slices that cannot be looked at."""
        refused: dict[int, HounsfieldError] = {}

        def read(key: int) -> Dataset:
            return read_pixels(stack[key].path)

        if not stack:
            return {}, refused
        try:
            return scan_series(stack, read, refused), refused
        except PermanentError as error:
            return {}, dict.fromkeys(stack, error)

    def _instance(
        self,
        source: _Source,
        boxes: list[Box],
        walker: Walker,
        destination: Path,
        name: Naming,
    ) -> InstanceRecord:
        dataset = source.dataset or read_lazily(source.path)
        pixels = self._clean_pixels(dataset, source.look, boxes)
        header = self._header(dataset, walker)
        if pixels.looked != Look.NONE:
            stamp_pixels(dataset, self.profile)
        renew_file_meta(dataset)
        output = name(source.index, dataset)
        _write(dataset, destination / output)
        return InstanceRecord(
            source=source.index,
            output=output,
            actions=dict(header.actions),
            rules=dict(header.rules),
            pixels=pixels,
            modality=str(dataset.get("Modality", "")),
            sop_instance_uid=str(dataset.get("SOPInstanceUID", "")),
            series_instance_uid=str(dataset.get("SeriesInstanceUID", "")),
            study_instance_uid=str(dataset.get("StudyInstanceUID", "")),
        )

    def _clean_pixels(self, dataset: FileDataset, look: Look, boxes: list[Box]) -> PixelRecord:
        if look is Look.NONE:
            return PixelRecord(reason="no picture" if self._pixels else "not asked for")
        regions = self.recipe.regions(dataset)
        if look is Look.EACH:
            return clean_pixels(dataset, regions)
        return mask_known(dataset, [*boxes, *regions], look)

    def _header(self, dataset: Dataset, walker: Walker) -> HeaderRecord:
        try:
            record = walker.walk(dataset)
            self.recipe.add(dataset)
            stamp_header(dataset, self.profile)
        except HounsfieldError:
            raise
        except Exception as error:  # its message may quote a value
            raise DeidentificationError(
                "the header of an object cannot be cleaned", where=type(error).__name__
            ) from None
        return record

    def _walker(self, known: KnownIdentifiers) -> Walker:
        profile = self.profile
        cleaner = TextCleaner(
            known,
            keep_dates=profile.retain_full_dates,
            keep_devices=profile.retain_device_identity,
            keep_places=profile.retain_institution_identity,
        )
        return Walker(self._plan, self.pseudonyms, cleaner)

    def _report(self, records: list[InstanceRecord]) -> StudyReport:
        return StudyReport(
            profile=self.profile.name,
            profile_digest=self.profile.digest,
            edition=EDITION,
            key_version=self.pseudonyms.version,
            key_fingerprint=self.pseudonyms.fingerprint,
            instances=tuple(sorted(records, key=lambda record: record.source)),
        )


def _by_uid(_: int, dataset: Dataset) -> str:
    return f"{dataset.get('SeriesInstanceUID', 'none')}/{dataset.SOPInstanceUID}.dcm"


def _refusal(index: int, error: HounsfieldError) -> InstanceRecord:
    return InstanceRecord(source=index, code=error.code, reason=str(error))


def _write(dataset: FileDataset, path: Path) -> None:
    try:
        write_dataset(dataset, path)
    except OSError:
        raise
    except Exception as error:  # its message may quote a value
        raise DeidentificationError(
            "a cleaned object cannot be written", where=type(error).__name__
        ) from None
