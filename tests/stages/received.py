"""Studies in the raw zone, put there as ingest does, without a PACS."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from hounsfield.dicom.reading import read_header
from hounsfield.pacs import InstanceRef
from hounsfield.records import InstanceEntry, RunContext
from hounsfield.site import Site
from hounsfield.stages.revision import make_manifest, publish
from hounsfield.store.product import file_digest
from hounsfield.vault import Identity
from tests.quality.conftest import ct_slice, save

RUN = RunContext(actor="tester", dag_id="prepare", run_id="r1", task_id="t")


def receive(site: Site, files: Sequence[Path]) -> str:
    """Publishes files as the newest revision of their study; gives its key."""
    uid = str(read_header(files[0]).StudyInstanceUID)
    study_key = site.pseudonyms.study_key(uid)
    entries, listed = [], []
    with site.zone("raw").draft() as draft:
        (draft / "instances").mkdir()
        for path in files:
            header = read_header(path)
            name = f"{file_digest(path)}.dcm"
            shutil.copyfile(path, draft / "instances" / name)
            entries.append(
                InstanceEntry(
                    SOPInstanceUID=str(header.SOPInstanceUID),
                    SOPClassUID=str(header.SOPClassUID),
                    TransferSyntaxUID=str(header.file_meta.TransferSyntaxUID),
                    path=name,
                    size=path.stat().st_size,
                    sha256=file_digest(path),
                )
            )
            place = (str(header.SOPInstanceUID), str(header.SeriesInstanceUID))
            listed.append(InstanceRef(*place, str(header.SOPClassUID), str(header.Modality)))
        manifest = make_manifest(study_key, uid, entries, listed, ())
        identity = Identity(uid, "", "", str(header.StudyDate), "pacs")
        publish(site, study_key, manifest, draft, identity, RUN)
    return study_key


def write_slices(folder: Path, count: int = 4) -> list[Path]:
    """A CT of slices so small that nobody could read a name in them."""
    return [save(ct_slice(index), folder / f"{index}.dcm") for index in range(count)]


def screenshot(text: str, *, size: int = 34) -> Dataset:
    """A secondary capture of the same study, with `text` burned in."""
    dataset = ct_slice(0)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    for name in ("SOPInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, name, f"{dataset.StudyInstanceUID}.9.{len(name)}")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.ConversionType, dataset.ImageType = "WSD", ["DERIVED", "SECONDARY"]
    image = Image.new("L", (480, 240), 20)
    ImageDraw.Draw(image).text((60, 90), text, fill=230, font=ImageFont.load_default(size))
    dataset.Rows, dataset.Columns = 240, 480
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = np.asarray(image).tobytes()
    return dataset
