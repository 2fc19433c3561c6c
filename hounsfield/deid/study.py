"""The files of one study: a first look at all, then each is cleaned and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Protocol

from pydicom.dataset import Dataset, FileDataset

from hounsfield.deid.identifiers import KnownIdentifiers
from hounsfield.deid.pixels import (
    TOO_SMALL,
    Box,
    Look,
    Scan,
    can_bear_text,
    clean_pixels,
    clear_unused_bits,
    how_to_look,
    mask_known,
    read_pixels,
    scan_series,
)
from hounsfield.deid.plan import Plan
from hounsfield.deid.profile import Profile
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.refusals import refuse_unsafe, refuse_unseen
from hounsfield.deid.repeats import Cleaned, Names, Repeats, Slice
from hounsfield.deid.reports import BLANKED, HeaderRecord, InstanceRecord, Note, PixelRecord
from hounsfield.deid.stamp import renew_file_meta, stamp_masked, stamp_pixels
from hounsfield.deid.walker import Walker
from hounsfield.dicom.codecs import transfer_syntax_of
from hounsfield.dicom.reading import read_header, read_lazily
from hounsfield.dicom.streams import blank_all
from hounsfield.dicom.writing import write_dataset, write_encoded
from hounsfield.errors import DeidentificationError, HounsfieldError, PermanentError, UnreadableFile

__all__ = ["Naming", "StudyCleaner"]

_SMALL = 64 << 20  # bytes of a study whose files are read once, not twice
_CLEARED = "bits beside the stored values cleared"

#: Gives the relative name of an output: from the index of its source, and its new
#: SeriesInstanceUID and SOPInstanceUID.
Naming = Callable[[int, str, str], str]


class Engine(Protocol):
    """What a study is cleaned with."""

    profile: Profile
    recipe: Recipe
    plan: Plan
    looks_at_pixels: bool

    def walker(self, known: KnownIdentifiers) -> Walker: ...

    def clean_header(self, dataset: Dataset, walker: Walker) -> dict[int, list[Note]]: ...


@dataclass(frozen=True, slots=True)
class _Source:
    """What a first look at a file told. Holds PHI.

    Attributes
    ----------
    dataset, slice
        What was read, as a whole or in pieces, where the study is small enough to be kept
        until it is cleaned.
    """

    index: int
    path: Path
    series_instance_uid: str
    look: Look
    dataset: FileDataset | None = None
    slice: Slice | None = None


class StudyCleaner:
    """Cleans the files of one study; for one use.

    Parameters
    ----------
    destination
        Folder that gets the outputs.
    name
        How they are called.
    """

    _walker: Walker  # made when all that is known of the study has been gathered

    def __init__(self, engine: Engine, destination: Path, name: Naming) -> None:
        self._engine = engine
        self._destination = destination
        self._name = name
        self._repeats = Repeats(engine.plan, engine.recipe)

    def clean(self, paths: Sequence[Path]) -> Iterable[InstanceRecord]:
        """Every file with its output, or the reason why there is none, as they are done."""
        known = KnownIdentifiers()
        series: dict[str, list[_Source]] = {}
        is_small = sum(path.stat().st_size for path in paths if path.exists()) <= _SMALL
        for index, path in enumerate(paths):
            try:
                source, found = self._look(index, path, keep=is_small)
            except HounsfieldError as error:
                yield _refusal(index, error)
                continue
            known |= found
            series.setdefault(source.series_instance_uid, []).append(source)
        self._walker = self._engine.walker(known)
        for _, members in sorted(series.items()):
            yield from self._series(members)

    def _look(self, index: int, path: Path, *, keep: bool) -> tuple[_Source, KnownIdentifiers]:
        slice_ = self._repeats.read(path)
        if slice_ is not None and slice_.context.look is not None:
            uid, look = slice_.context.series_instance_uid, slice_.context.look
            with suppress(Exception):  # reading the whole says what is wrong
                known = slice_.gather()
                return _Source(index, path, uid, look, slice=slice_ if keep else None), known
        dataset = read_header(path, stop_before_pixels=False)
        refuse_unsafe(dataset)
        try:
            uid = str(dataset.get("SeriesInstanceUID", ""))
            look = self._how_to_look(dataset)
            known = KnownIdentifiers.gather([dataset])
        except HounsfieldError:
            raise
        except Exception as error:  # its message may quote a value
            raise UnreadableFile(
                "a file holds a value that cannot be read", where=type(error).__name__
            ) from None
        if slice_ is not None:
            slice_.learn_look(look, dataset)
        return _Source(index, path, uid, look, *((dataset, slice_) if keep else ())), known

    def _how_to_look(self, dataset: Dataset) -> Look:
        if not self._engine.looks_at_pixels:
            return Look.NONE
        refuse_unseen(dataset)
        return how_to_look(dataset)

    def _series(self, members: list[_Source]) -> Iterable[InstanceRecord]:
        stack = {source.index: source for source in members if source.look is Look.PROJECTION}
        (boxes, left), refused = _scan(stack)
        for source in members:
            if source.index in refused:
                yield _refusal(source.index, refused[source.index])
                continue
            try:
                record = self._instance(source, boxes.get(source.index, []))
            except PermanentError as error:
                yield _refusal(source.index, error)
                continue
            if source.index in left:
                doubted = tuple(left[source.index])
                record = replace(record, pixels=replace(record.pixels, left=doubted))
            yield record

    def _instance(self, source: _Source, boxes: list[Box]) -> InstanceRecord:
        slice_ = None
        if source.look is not Look.EACH and not boxes:
            slice_ = source.slice or self._repeats.read(source.path)
        if slice_ is not None:
            with suppress(Exception):  # walking the whole says what is wrong
                if cleaned := self._again(source, slice_):
                    return self._write_again(source, cleaned)
        return self._whole(source, boxes, slice_)

    def _again(self, source: _Source, slice_: Slice) -> Cleaned | None:
        if self._repeats.has_regions(slice_.pieces, only_named=source.look is Look.NONE):
            return None
        return slice_.clean(self._walker)

    def _write_again(self, source: _Source, cleaned: Cleaned) -> InstanceRecord:
        names, instance = cleaned.names, cleaned.sop_instance_uid
        output = self._name(source.index, names.series_instance_uid, instance)
        path = self._destination / output
        write_encoded(names.sop_class_uid, instance, cleaned.syntax, cleaned.elements, path)
        return _record(source, output, names, instance, cleaned.notes, cleaned.pixels)

    def _whole(self, source: _Source, boxes: list[Box], slice_: Slice | None) -> InstanceRecord:
        dataset = source.dataset or read_lazily(source.path)
        regions = self._regions(dataset, source.look)
        blanked = _blank_comments(dataset)
        pixels = self._clean_pixels(dataset, source.look, boxes, regions)
        notes = self._engine.clean_header(dataset, self._walker)
        if pixels.looked != Look.NONE:
            stamp_pixels(dataset, self._engine.profile)
        if pixels.boxes:
            stamp_masked(dataset, self._engine.profile)
        renew_file_meta(dataset)
        names, instance = Names.of(dataset), str(dataset.SOPInstanceUID)
        output = self._name(source.index, names.series_instance_uid, instance)
        _write(dataset, self._destination / output)
        if slice_ is not None and not (regions or pixels.changed):
            with suppress(Exception):  # what is not learned is worked out again
                slice_.learn(dataset, notes, pixels)
        return _record(source, output, names, instance, chain(blanked, *notes.values()), pixels)

    def _regions(self, dataset: FileDataset, look: Look) -> list[Box]:
        """Those that the site names are masked whether or not text is looked for."""
        if "PixelData" not in dataset:
            return []
        return self._engine.recipe.regions(dataset, only_named=look is Look.NONE)

    def _clean_pixels(
        self, dataset: FileDataset, look: Look, boxes: list[Box], regions: list[Box]
    ) -> PixelRecord:
        cleared = clear_unused_bits(dataset)
        record = self._mask(dataset, look, boxes, regions)
        if not cleared:
            return record
        reasons = filter(None, (record.reason, _CLEARED))
        syntax = record.transfer_syntax_uid or cleared
        return replace(record, reason="; ".join(reasons), transfer_syntax_uid=syntax)

    def _mask(
        self, dataset: FileDataset, look: Look, boxes: list[Box], regions: list[Box]
    ) -> PixelRecord:
        if look is Look.NONE:
            reason = "no picture" if self._engine.looks_at_pixels else "not asked for"
            return mask_known(dataset, regions, look, reason)
        if look is Look.EACH:
            return clean_pixels(dataset, regions)
        if not can_bear_text(dataset.Rows, dataset.Columns):
            return mask_known(dataset, regions, Look.NONE, TOO_SMALL)
        return mask_known(dataset, [*boxes, *regions], look)


def _scan(stack: dict[int, _Source]) -> tuple[Scan, dict[int, HounsfieldError]]:
    """What shows as text in a stack of slices, and the slices that cannot be looked at."""
    refused: dict[int, HounsfieldError] = {}

    def read(key: int) -> Dataset:
        return read_pixels(stack[key].path)

    if not stack:
        return Scan({}, {}), refused
    try:
        return scan_series(stack, read, refused), refused
    except PermanentError as error:
        return Scan({}, {}), dict.fromkeys(stack, error)


def _blank_comments(dataset: FileDataset) -> list[Note]:
    """Takes what applications wrote into compressed frames, and says so if there was any."""
    if "PixelData" not in dataset:
        return []
    content = dataset.get_item("PixelData").value or b""
    blanked = blank_all(content, transfer_syntax_of(dataset))
    if blanked is content:
        return []
    dataset["PixelData"].value = blanked
    return [BLANKED]


def _record(
    source: _Source,
    output: str,
    names: Names,
    instance: str,
    notes: Iterable[Note],
    pixels: PixelRecord,
) -> InstanceRecord:
    header = _counted(tuple(notes))
    return InstanceRecord(
        source=source.index,
        output=output,
        actions=dict(header.actions),
        rules=dict(header.rules),
        pixels=pixels,
        modality=names.modality,
        sop_instance_uid=instance,
        series_instance_uid=names.series_instance_uid,
        study_instance_uid=names.study_instance_uid,
    )


@lru_cache(maxsize=16)
def _counted(notes: tuple[Note, ...]) -> HeaderRecord:
    """Of slices of a series the same was done to each."""
    return HeaderRecord(notes)


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
