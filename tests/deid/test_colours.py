"""An ICC profile keeps its colours, and nothing that somebody wrote into it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.colours import clean_profile
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]
SECRET = b"Vantreek^Odilon 19310407"  # whom nothing else of the study names


def profile(*added: tuple[bytes, bytes]) -> bytes:
    """sRGB, with tags of others; bytes that no tag holds stand behind them."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (count,) = struct.unpack_from(">I", content, 128)
    table, bodies = content[132 : 132 + 12 * count], content[132 + 12 * count :]
    grown = b"".join(
        struct.pack(">4sII", name, at + 12 * len(added), size)
        for name, at, size in struct.iter_unpack(">4sII", table)
    )
    at = len(content) + 12 * len(added)
    for name, body in added:
        grown += struct.pack(">4sII", name, at, len(body))
        bodies, at = bodies + body, at + len(body)
    head = bytearray(content[:128] + struct.pack(">I", count + len(added)))
    head[48:56], head[80:84] = b"VANTREEK", b"ODIL"  # device and creator
    return bytes(head) + grown + bodies + SECRET


SPOKEN = profile(
    (b"dmnd", b"text" + bytes(4) + SECRET),
    (b"ODIL", b"XYZ " + bytes(16)),
    (b"lumi", b"text" + bytes(4) + SECRET),
)


def shown(icc: bytes) -> bytes:
    """A picture as those see it whose screens have colours of their own."""
    picture = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    screen = ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(picture, BytesIO(icc), screen, outputMode="LAB")
    assert made is not None
    return made.tobytes()


def cleaned(dataset: FileDataset, pseudonyms: Pseudonyms) -> FileDataset:
    Deidentifier(Profile.load("research"), pseudonyms).header(dataset, KnownIdentifiers())
    return dataset


@pytest.mark.parametrize("nested", [True, False])
def test_colours_stay_and_words_go(
    nested: bool, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    assert SECRET in SPOKEN
    item = Dataset()
    item.ICCProfile = SPOKEN
    values = {"OpticalPathSequence": Sequence([item])} if nested else {"ICCProfile": SPOKEN}
    dataset = cleaned(make_dataset(**values), pseudonyms)
    left = (dataset.OpticalPathSequence[0] if nested else dataset).ICCProfile
    assert shown(left) == shown(SPOKEN)
    for word in (SECRET, b"VANTREEK", b"ODIL", b"Vantreek", b"sRGB"):
        assert word not in left
    assert clean_profile(left) == left


@pytest.mark.parametrize(
    "value", [SECRET, b"", SPOKEN[:131], SPOKEN[:140], SPOKEN.replace(b"acsp", b"ODIL")]
)
def test_what_is_no_profile_goes(value: bytes, make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = cleaned(make_dataset(ICCProfile=value), pseudonyms)
    assert not dataset.get("ICCProfile")


@pytest.mark.data
def test_real_profiles_show_the_same_colours(real_data: Path) -> None:
    headers = [read_header(path) for path in find_files(real_data / "obj_highdicom")]
    found = {
        element.value
        for header in headers
        for element in header.iterall()
        if element.keyword == "ICCProfile"
    }
    assert found
    for one in found:
        assert shown(clean_profile(one)) == shown(one)
