from __future__ import annotations

import hashlib
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.dicom.writing import file_header
from hounsfield.errors import StoreUnavailable
from hounsfield.pacs.landing import write_instance

CT, EXPLICIT = str(CTImageStorage), str(ExplicitVRLittleEndian)


@pytest.mark.parametrize("uid", ["../../etc/passwd", "/tmp/x", "1.2\x00.3", "..", "CON", "1." * 40])
def test_a_uid_is_never_a_path(uid: str, tmp_path: Path) -> None:
    folder = tmp_path / "landing"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        entry = write_instance(
            folder,
            BytesIO(b"data"),
            sop_class_uid=CT,
            sop_instance_uid=uid,
            transfer_syntax_uid=EXPLICIT,
        )
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")] == [
        f"landing/{entry.sha256}.dcm"
    ]
    assert entry.SOPInstanceUID == uid


@given(body=st.binary(max_size=2000))
def test_the_body_is_kept(body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("landing")
    entry = write_instance(
        folder,
        BytesIO(body),
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=EXPLICIT,
    )
    content = (folder / entry.path).read_bytes()
    assert content == file_header(CT, "1.2.3", EXPLICIT) + body
    assert (entry.size, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_header_is_part_10_and_always_the_same() -> None:
    header = file_header(CT, "1.2.3", EXPLICIT)
    assert header == file_header(CT, "1.2.3", EXPLICIT)
    meta = dcmread(DicomBytesIO(header)).file_meta
    assert meta.FileMetaInformationGroupLength == len(header) - 132 - 12
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT
    assert b"PYDICOM" not in header


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        write_instance(
            tmp_path / "missing",
            BytesIO(b"data"),
            sop_class_uid=CT,
            sop_instance_uid="1.2.3",
            transfer_syntax_uid=EXPLICIT,
        )
