"""Sound cannot be cleaned: where somebody may be heard, an object is refused, saying why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import MPEG4HP41

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import DeidentificationError
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]
VOICE, GENERAL = "1.2.840.10008.5.1.4.1.1.9.4.1", "1.2.840.10008.5.1.4.1.1.9.4.2"
ECG, SLEEP = "1.2.840.10008.5.1.4.1.1.9.1.2", "1.2.840.10008.5.1.4.1.1.9.7.4"
SAMPLES = b"\x11\x22\x33\x44" * 8


def waveform(make: Make, source: str, *, interpretation: str = "SS", **values: Any) -> FileDataset:
    """One group with one channel; `source` is the code of where it comes from."""
    code, channel, group = Dataset(), Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = source, "DCM", "a source"
    channel.ChannelSourceSequence = Sequence([code])
    channel.WaveformBitsStored = 8
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = 1, len(SAMPLES)
    group.SamplingFrequency = 8000
    group.ChannelDefinitionSequence = Sequence([channel])
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 8, interpretation
    group.add_new("WaveformData", "OB", SAMPLES)
    facts = {"SOPClassUID": SLEEP, "Modality": "EEG", "WaveformSequence": Sequence([group])}
    return make(**{**facts, **values})


def film(make: Make) -> FileDataset:
    """A film in MPEG-4, whose container may hold a sound track."""
    facts = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.1.1", "Modality": "ES"}
    facts |= {"Rows": 64, "Columns": 64, "NumberOfFrames": 2, "SamplesPerPixel": 3}
    facts |= {"PhotometricInterpretation": "YBR_PARTIAL_420", "PlanarConfiguration": 0}
    facts |= {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    dataset = make(**facts)
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    dataset.PixelData = encapsulate([SAMPLES], has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    return dataset


HEARD: dict[str, Callable[[Make], FileDataset]] = {
    "voice": lambda make: waveform(make, "109110", SOPClassUID=VOICE, Modality="AU"),
    "general audio": lambda make: waveform(make, "109114", SOPClassUID=GENERAL, Modality="AU"),
    "audio of no known class": lambda make: waveform(make, "109113", Modality="AU"),
    "a voice beside a sleeper's brain": lambda make: waveform(make, "109110"),
    "the narrative of an ECG's operator": lambda make: waveform(make, "109111", SOPClassUID=ECG),
    "the room": lambda make: waveform(make, "109112"),
    "telephone's coding": lambda make: waveform(make, "2:1", interpretation="MB"),
    "in an image": lambda make: waveform(make, "109110", Modality="CT", PixelRepresentation=0),
    "a film": film,
}


@pytest.mark.parametrize("name", HEARD)
@pytest.mark.parametrize("pixels", [True, False])
def test_where_somebody_may_be_heard_nothing_is_written(
    name: str, pixels: bool, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    path = tmp_path / "in" / "a.dcm"
    write_dataset(HEARD[name](make_dataset), path)
    engine = Deidentifier(Profile.load("research"), pseudonyms, pixels=pixels)
    report = engine.study([path], tmp_path / "out")
    (refused,) = report.refused
    assert refused.code == "deidentification"
    assert "a voice tells who speaks" in refused.reason
    assert not list(tmp_path.glob("out/**/*.dcm"))
    assert report.to_dict()["refused"][0]["reason"] == refused.reason
    with pytest.raises(DeidentificationError):
        engine.header(HEARD[name](make_dataset), KnownIdentifiers())


def test_a_voice_is_heard_behind_slices_that_are_alike(
    make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    facts = {"PixelRepresentation": 0, "SOPInstanceUID": "1.2.3.4.5.9"}
    silent = make_dataset(PixelRepresentation=0)
    heard = waveform(make_dataset, "109110", SOPClassUID=silent.SOPClassUID, Modality="CT", **facts)
    paths = [tmp_path / "1.dcm", tmp_path / "2.dcm"]
    for dataset, path in zip((silent, heard), paths, strict=True):
        write_dataset(dataset, path)
    report = Deidentifier(Profile.load("research"), pseudonyms).study(paths, tmp_path / "out")
    assert [record.source for record in report.written] == [0]
    assert [record.source for record in report.refused] == [1]


@pytest.mark.parametrize(
    "source", ["109113", "109114", "2:1"], ids=["Doppler", "phonocardiogram", "lead I"]
)
def test_what_is_of_the_body_alone_stays(
    source: str, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    write_dataset(waveform(make_dataset, source), tmp_path / "a.dcm")
    engine = Deidentifier(Profile.load("research"), pseudonyms)
    (record,) = engine.study([tmp_path / "a.dcm"], tmp_path / "out").written
    (group,) = read_header(tmp_path / "out" / record.output).WaveformSequence
    assert group.WaveformData == SAMPLES


@pytest.mark.parametrize("group", [0x5000, 0x5002, 0x501E])
def test_sound_in_a_curve_goes(group: int, make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    """As old ultrasound has it: the retired Audio Module."""
    dataset = make_dataset()
    dataset.add_new((group, 0x2000), "US", 1)  # Audio Type
    dataset.add_new((group, 0x200C), "OB", SAMPLES)  # Audio Sample Data
    dataset.add_new((group, 0x200E), "LT", "a narrative")  # Audio Comments
    Deidentifier(Profile.load("internal"), pseudonyms).header(dataset, KnownIdentifiers())
    assert not [element for element in dataset if element.tag.group == group]
