"""Plants identities in real and made-up objects, and writes down what must become of them.

The key is made from PS3.15 Table E.1-1 and from what was planted here; nothing of the engine
is asked. It means the project's profile `research`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from hounsfield.deid.scoring import AnswerKey, Check, Person
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import HounsfieldError
from tests.deid.midi.people import Identity, Plant, draw_identity, plants, tokens

__all__ = ["inject"]

_TEXT = frozenset("AE AS CS DS IS LO LT PN SH ST UC UR UT".split())  # noqa: SIM905
_WORDS = frozenset("CS DS IS LO SH".split())  # noqa: SIM905
_NOT_KEPT = frozenset("AE DA DT PN SQ TM UI UN UR".split())  # noqa: SIM905
_DESCRIPTORS = ("StudyDescription", "SeriesDescription", "ProtocolName")
_PROSE = ("ImageComments", "PatientComments", "AdditionalPatientHistory", "DerivationDescription")
#: Options of `research`: what they keep or clean.
_OPTIONS = {"patient", "modified_dates", "descriptors", "safe_private"}
#: Modalities whose pixels hold no text of their own.
_UNWRITTEN = frozenset("CT MR NM PT RTDOSE".split())  # noqa: SIM905
_ENOUGH = 4  # characters of a value that is looked for


def inject(
    sources: Mapping[str, Path],
    target: Path,
    *,
    seed: int,
    per_folder: int = 3,
    descriptors: str = "descriptors.txt",
) -> AnswerKey:
    """Writes files with an identity planted in each, under ``<name of the source>/<path>``.

    Parameters
    ----------
    sources
        Folders by the names that they get.
    per_folder
        At most so many files of each folder.
    descriptors
        File of the texts that must stay, beside this module.
    """
    rng = Random(seed)
    people: dict[str, Person] = {}
    identities: dict[str, Identity] = {}
    checks: list[Check] = []
    for name, path in _chosen(sources, per_folder):
        try:
            dataset = read_header(path, stop_before_pixels=False)
            study = str(dataset.StudyInstanceUID)
            if "PixelData" in dataset:
                _ = dataset.pixel_array
        except Exception:  # pydicom's decoders raise whatever the bytes lead them to
            continue  # other tests are about files that cannot be read, and are refused
        if study not in identities:
            day = date(2009, 1, 1) + timedelta(days=rng.randrange(5000))
            identities[study] = draw_identity(rng, day)
        identity = identities[study]
        told = _Injection(name, dataset, identity, rng, _bases(descriptors)).run()
        try:
            write_dataset(dataset, target / name)
        except HounsfieldError:
            continue  # it holds a value that pydicom reads and does not write
        people[name] = Person(identity.patient_id, identity.issuer)
        checks += told
    return AnswerKey(people, tuple(checks))


def _chosen(sources: Mapping[str, Path], per_folder: int) -> Iterator[tuple[str, Path]]:
    counts: Counter[Path] = Counter()
    for source, root in sources.items():
        for path in find_files(root):
            if path.suffix not in (".csv", ".json"):
                counts[path.parent] += 1
                if counts[path.parent] <= per_folder:
                    yield f"{source}/{path.relative_to(root).as_posix()}", path


class _Injection:
    """One object: what is planted, and what must be true of it."""

    def __init__(
        self,
        name: str,
        dataset: FileDataset,
        identity: Identity,
        rng: Random,
        bases: tuple[str, ...],
    ) -> None:
        self._name, self._dataset, self._identity, self._rng = name, dataset, identity, rng
        self._bases = bases
        self._checks: list[Check] = []
        self._planted: set[str] = set()
        self._is_untouched = False

    def run(self) -> list[Check]:
        for _ in self._dataset.iterall():
            pass  # decoded in its own character set before another is set
        plain = all(str(e.value).isascii() for e in self._dataset.iterall() if e.VR in _TEXT)
        legacy = plain and self._rng.random() < 0.5
        charset = self._identity.charset if legacy else "ISO_IR 192"
        self._dataset.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
        self._is_utf8 = charset in ("ISO_IR 192", "GB18030")
        self._patient()
        self._texts()
        self._nested()
        self._private()
        self._pixels()
        self._walk(self._dataset, "")
        return self._checks

    def _check(self, action: str, path: str, *values: str) -> None:
        self._checks.append(Check(action, self._name, path, values))

    def _set(self, keyword: str, value: Any, *told: str) -> None:
        """Plants a value whose tokens must all go."""
        setattr(self._dataset, keyword, value)
        path = _path(self._dataset, keyword)
        self._planted.add(path)
        if told:
            self._check("text_removed", path, *told)

    def _patient(self) -> None:
        who = self._identity
        self._set("PatientName", who.name, *tokens(who.name))
        self._set("PatientID", who.patient_id, who.patient_id)
        self._check("patid_consistent", "00100020")
        self._check("text_notnull", "00100020")
        self._set("IssuerOfPatientID", who.issuer, *([who.issuer] if who.issuer else []))
        self._set("PatientBirthDate", f"{who.birth:%Y%m%d}", f"{who.birth:%Y%m%d}")
        self._set("PatientTelephoneNumbers", who.phone, who.phone)
        self._set("PatientAddress", f"12 {who.place} Road", who.place)
        self._set("OtherPatientNames", who.name, *tokens(who.name))
        self._set("AccessionNumber", who.accession, who.accession)
        self._set("ReferringPhysicianName", who.doctor, *tokens(who.doctor))
        self._set("OperatorsName", who.operator, *tokens(who.operator))
        self._set("InstitutionName", who.place, who.place)
        self._set("StationName", f"ST{who.accession[-5:]}", f"ST{who.accession[-5:]}")
        self._set("PatientAge", who.age, *([who.age] if who.age > "089Y" else []))
        self._check("text_retained", "00101010", min(who.age, "090Y"))
        self._set("PatientSex", "F")
        self._check("text_retained", "00100040", "F")
        self._dataset.StudyDate = f"{who.study:%Y%m%d}"

    def _texts(self) -> None:
        for keyword in _DESCRIPTORS:
            self._describe(self._dataset, keyword, "", self._rng.choice(self._bases))
        for keyword in self._rng.sample(_PROSE, 2):
            base = self._rng.choice(_SENTENCES)
            self._describe(self._dataset, keyword, "", base)

    def _describe(self, dataset: Dataset, keyword: str, prefix: str, base: str) -> None:
        """A text of the examination with an identity in it: the first stays, the second goes."""
        plant = self._plant(base)
        form = self._rng.choice(("{b} {p}", "{p} {b}", "{b} ({p})", "{b} - {p}", "{b}, {p}"))
        text = form.format(b=base, p=plant.text)
        if keyword in _DESCRIPTORS and len(text) > 64:
            text, plant = base[:64], Plant("", ())
        setattr(dataset, keyword, text)
        path = prefix + _path(dataset, keyword)
        self._planted.add(path)
        self._check("tag_retained", path)
        self._check("text_notnull", path)
        self._check("text_retained", path, base)
        if plant.tokens:
            self._check("text_removed", path, *plant.tokens)

    def _plant(self, base: str) -> Plant:
        """One that shares no word with the text that must stay, and that can be written."""
        for _ in range(50):
            plant = plants(self._identity, self._rng)
            shared = {word.casefold() for word in re.findall(r"[^\W_]+", base)}
            writable = plant.text.isascii() or self._is_utf8 or plant.text in self._identity.name
            if writable and not any(token.casefold() in shared for token in plant.tokens):
                return plant
        return Plant("", ())

    def _nested(self) -> None:
        item = Dataset()
        item.ScheduledProcedureStepID = self._identity.accession
        self._describe(
            item, "ScheduledProcedureStepDescription", "00400275[0].", self._rng.choice(self._bases)
        )
        item.RequestedProcedureID = self._identity.accession
        self._check("text_removed", "00400275[0].00401001", self._identity.accession)
        self._dataset.RequestAttributesSequence = Sequence([item])
        person = Dataset()
        person.PersonName = self._identity.doctor
        person.InstitutionName = self._identity.place
        self._dataset.PerformingPhysicianIdentificationSequence = Sequence([person])
        told = (*tokens(self._identity.doctor), self._identity.place)
        self._check("text_removed", "00081052", *told)
        self._planted |= {"00400275", "00081052"}

    def _private(self) -> None:
        who, data = self._identity, self._dataset
        block = data.private_block(0x0011, "ACME IMAGING 2.1", create=True)
        block.add_new(0x01, "LO", f"{who.patient_id} {who.accession}")
        block.add_new(0x02, "DA", f"{who.birth:%Y%m%d}")
        block.add_new(0x03, "PN", who.name)
        for byte, told in (
            ("01", (who.patient_id, who.accession)),
            ("02", (f"{who.birth:%Y%m%d}",)),
            ("03", tokens(who.name)),
        ):
            self._check("text_removed", f"0011,ACME IMAGING 2.1,{byte}", *told)
        safe = data.private_block(0x0019, "GEMS_ACQU_01", create=True)
        if 0x9E in safe:
            return
        safe.add_new(0x9E, "LO", f"FSE-XL {who.patient_id}")
        path = "0019,GEMS_ACQU_01,9E"
        self._check("tag_retained", path)
        self._check("text_retained", path, "FSE XL")
        self._check("text_removed", path, who.patient_id)

    # Pixels.

    def _pixels(self) -> None:
        data = self._dataset
        if "PixelData" not in data or "Rows" not in data:
            return
        # Text over text is nothing that anybody reads, or could put in a key.
        is_written = "burned" in self._name or data.get("BurnedInAnnotation") == "YES"
        if self._rng.random() < 0.25 and not is_written and _can_be_drawn_on(data):
            self._draw()
        elif data.get("Modality") in _UNWRITTEN and not is_written:
            self._is_untouched = True
            self._check("pixels_retained", "7FE00010")

    def _draw(self) -> None:
        """Burns the name in, as bright as the brightest pixel."""
        data = self._dataset
        text = f"{self._identity.doctor.split('^')[0].upper()} {self._identity.accession}"
        try:
            array = np.array(data.pixel_array)
        except ValueError:
            return  # fewer pixels than it promises
        rows, columns = array.shape[:2]
        scale = max(0.5, columns / 900)
        (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        x, y = 4, height + 6
        if width + 8 > columns or height + base + 8 > rows:
            return
        stencil = np.zeros((rows, columns), np.uint8)
        thick = max(1, round(scale * 1.6))
        cv2.putText(stencil, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick)
        inked = stencil > 127
        array[inked] = array.max()
        array[:4, :] = array.min()
        data.PixelData = array.tobytes()
        data["PixelData"].VR = "OW" if array.itemsize > 1 else "OB"
        box = (0, 0, min(columns, width + 12), min(rows, height + base + 10))
        part = inked[box[1] : box[3], box[0] : box[2]]
        mask = np.packbits(part.ravel()).tobytes().hex()
        self._check("pixels_hidden", "7FE00010", ",".join(map(str, box)), mask)

    # What was there before.

    def _walk(self, dataset: Dataset, prefix: str) -> None:
        for element in dataset:
            path = prefix + f"{element.tag:08X}"
            if path in self._planted or element.is_empty:
                continue
            if element.tag.is_private:
                self._was_private(dataset, element, prefix)
            else:
                self._was_public(element, path)

    def _was_private(self, dataset: Dataset, element: DataElement, prefix: str) -> None:
        if element.tag.element < 0x1000:
            return
        try:
            creator = str(dataset[element.tag.group, element.tag.element >> 8].value).strip()
        except KeyError:
            return
        if creator == "ACME IMAGING 2.1" or "," in creator or prefix:
            return
        byte = element.tag.element & 0xFF
        path = f"{element.tag.group:04X},{creator},{byte:02X}"
        known = _safe_private().get((element.tag.group, creator.casefold(), byte))
        if known == element.VR and known != "SQ":
            self._check("tag_retained", path)
        elif known is None and element.VR in _TEXT:
            values = _telling(element)
            if values:
                self._check("text_removed", path, *values)

    def _was_public(self, element: DataElement, path: str) -> None:
        row = _row(int(element.tag))
        if row is not None:
            self._of_the_table(element, path, row)
        elif element.keyword in _REWRITTEN:
            return
        elif element.VR == "SQ":
            for index, item in enumerate(element.value):
                self._walk(item, f"{path}[{index}].")
        elif _is_kept(element):
            self._check("tag_retained", path)
            if element.keyword == "PhotometricInterpretation" and not self._is_untouched:
                return  # of pixels that are written anew, it says how
            if element.VR in _WORDS:
                self._check("text_notnull", path)
                self._check("text_retained", path, " ".join(_values(element)))

    def _of_the_table(self, element: DataElement, path: str, row: dict[str, str]) -> None:
        active = {row[option] for option in _OPTIONS if row[option]}
        if element.VR == "UI":
            uids = [uid for uid in _values(element) if not uid.startswith("1.2.840.10008.")]
            if uids and "U" in row["basic"]:
                self._check("uid_changed", path, *uids)
                self._check("uid_consistent", path, *uids)
        elif element.VR in ("DA", "DT") and row["modified_dates"] == "C":
            value = str(element.value)
            if re.fullmatch(r"(19|20)\d{6}(\d{6}(\.\d+)?([+-]\d{4})?)?", value) and _is_day(value):
                self._check("date_shifted", path, value)
        elif active == {"K"} and element.VR in _WORDS:
            self._check("text_retained", path, " ".join(_values(element)))
        elif not active and element.VR in _TEXT:
            values = _telling(element)
            if values:
                self._check("text_removed", path, *values)


def _path(dataset: Dataset, keyword: str) -> str:
    return f"{dataset[keyword].tag:08X}"


def _values(element: DataElement) -> list[str]:
    value = element.value
    if element.VM > 1:
        return [str(one) for one in value]
    return [str(value)]


def _telling(element: DataElement) -> list[str]:
    """Values that are long enough to be looked for, and that no dummy value is."""
    found = [value.strip() for value in _values(element)]
    return [value for value in found if len(value) >= _ENOUGH and value != "REMOVED"]


def _is_kept(element: DataElement) -> bool:
    group = element.tag.group
    if group in (0x0000, 0x0002, 0x0004, 0x4010) or group >> 8 in (0x50, 0x60):
        return False
    if not element.tag.element or element.VR in _NOT_KEPT:
        return False
    return dictionary_has_tag(element.tag) and element.VR in dictionary_VR(element.tag)


#: What says of an object that it is de-identified; written anew, as PS3.15 Section E.1.1 asks.
_REWRITTEN = frozenset(
    """
    PatientIdentityRemoved DeidentificationMethodCodeSequence BurnedInAnnotation
    LongitudinalTemporalInformationModified SpecificCharacterSet PixelData DataSetTrailingPadding
    """.split()  # noqa: SIM905
)


def _is_day(value: str) -> bool:
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:8]))
    except ValueError:
        return False
    return True


def _can_be_drawn_on(dataset: FileDataset) -> bool:
    """Native pixels of one frame, which numpy writes as it reads them."""
    syntax = dataset.file_meta.TransferSyntaxUID
    return (
        syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
        and int(dataset.get("NumberOfFrames", 1) or 1) == 1
        and dataset.PhotometricInterpretation in ("MONOCHROME2", "RGB")
        and dataset.get("PlanarConfiguration", 0) == 0
        and dataset.BitsAllocated in (8, 16)
    )


@cache
def _table() -> dict[str, dict[str, str]]:
    """Table E.1-1 and the additions, as data."""
    folder, rows = files("hounsfield.deid.table"), {}
    for name in ("additions.csv", "ps3.15_e1-1_2024e.csv"):
        for row in csv.DictReader(folder.joinpath(name).read_text().splitlines()):
            rows[row["tag"]] = row
    return rows


def _row(tag: int) -> dict[str, str] | None:
    name = f"{tag:08X}"
    if name[:2] in ("50", "60"):
        return {**_table()["60XX4000"], "basic": "X"}
    return _table().get(name)


@cache
def _safe_private() -> dict[tuple[int, str, int], str]:
    text = files("hounsfield.deid.table").joinpath("safe_private.csv").read_text()
    return {
        (int(row["group"], 16), row["creator"].casefold(), int(row["byte"], 16)): row["vr"]
        for row in csv.DictReader(text.splitlines())
    }


@cache
def _bases(name: str) -> tuple[str, ...]:
    """Descriptions that were found in files and in public configurations of converters."""
    path = Path(__file__).with_name(name)
    return tuple(line for line in path.read_text().splitlines() if len(line) < 44)


_SENTENCES = (
    "Damaged mitral valve",
    "Motion artifacts, repeat scan recommended",
    "Reference Surview",
    "Images degraded by patient motion",
    "Lossless JPEG compression, selection value 1",
    "follow-up of known pulmonary nodule in the right upper lobe",
    "chest pain and shortness of breath since two days",
    "no contrast because of renal failure",
    "post-processed on the workstation",
    "history of breast cancer, status post mastectomy",
)
