"""Kinds of volume: several images at one place, pictures, films, PET, uneven steps."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG4HP41,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from hounsfield.dicom.codecs import decode
from hounsfield.dicom.reading import read_lazily
from hounsfield.errors import GeometryError, UndecodablePixels
from hounsfield.volume import Volume, build_volume, chunk_folder
from hounsfield.volume.apart import ATTRIBUTES, tell_apart
from hounsfield.volume.export import instances_of
from hounsfield.volume.layout import LOCAL, OBJECT_STORE, Layout
from hounsfield.volume.series import stack_of
from hounsfield.volume.suv import suv_factors
from hounsfield.volume.volume import Rescale
from tests.volume.series import ct_slice, write_series

MR, CR, US_FILM = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("4", "1", "3.1"))


def mr_slice(index: int, image: int, **values: object) -> Dataset:
    """Image `image` of several at place `index`; its first pixel tells both."""
    dataset = ct_slice(index)
    dataset.SOPClassUID, dataset.Modality = MR, "MR"
    dataset.SOPInstanceUID = f"2.25.88{image:02d}{index:04d}"
    dataset.PixelData = np.full((6, 5), 100 * image + index, "<i2").tobytes()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def picture(uid: str, values: np.ndarray, **attributes: object) -> Dataset:
    """A radiograph, without a place in the patient."""
    dataset = ct_slice(0)
    dataset.SOPClassUID, dataset.Modality, dataset.SOPInstanceUID = CR, "CR", uid
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.ImagerPixelSpacing = [0.2, 0.1]
    dataset.PixelData = values.astype("<i2").tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_echoes_are_stacked_before_z(tmp_path: Path) -> None:
    echoes = [80.0, 20.0, 140.0]
    datasets = [
        mr_slice(index, image, EchoTime=echo, AcquisitionTime=f"10{image:02d}{index:02d}")
        for index in range(4)
        for image, echo in enumerate(echoes)
    ]
    random.Random(3).shuffle(datasets)
    volume = build_volume(datasets, tmp_path / "v", provenance={})
    assert volume.axes == ("c", "z", "y", "x")
    assert volume.shape == (3, 4, 6, 5)
    assert volume.metadata["stacked"] == {
        "axis": "c",
        "by": ["EchoTime"],
        "values": [[20.0], [80.0], [140.0]],
    }
    expected = [[100 * image + index for index in range(4)] for image in (1, 0, 2)]
    np.testing.assert_array_equal(volume.array[:, :, 0, 0], expected)
    assert volume.sop_instance_uids[:2] == ("2.25.88010000", "2.25.88010001")
    assert not volume.is_regular
    with pytest.raises(GeometryError, match=r"has the axes \(c, z, y, x\)"):
        volume.check_regular()
    volume.verify()


def test_times_are_stacked_by_their_order_at_each_place(tmp_path: Path) -> None:
    # Interleaved: no time occurs twice.
    datasets = [
        mr_slice(index, image, AcquisitionDate="20200101", AcquisitionTime=f"1000{seconds:02d}")
        for index in range(3)
        for image, seconds in enumerate((5 + index, 30 - index, 50 + index))
    ]
    volume = build_volume(datasets, tmp_path / "v", provenance={})
    assert volume.axes == ("t", "z", "y", "x")
    assert volume.metadata["stacked"]["by"] == ["AcquisitionTime"]
    np.testing.assert_array_equal(volume.array[:, 1, 0, 0], [1, 101, 201])


def test_two_attributes_together(tmp_path: Path) -> None:
    datasets = [
        mr_slice(
            index, 2 * value + part, DiffusionBValue=b, ImageType=["ORIGINAL", "PRIMARY", kind]
        )
        for index in range(2)
        for value, b in enumerate((0.0, 800.0))
        for part, kind in enumerate("MP")
    ]
    volume = build_volume(datasets, tmp_path / "v", provenance={})
    assert volume.axes[0] == "c"
    assert volume.metadata["stacked"]["by"] == ["DiffusionBValue", "ImageType"]
    assert [row[0] for row in volume.metadata["stacked"]["values"]] == [0.0, 0.0, 800.0, 800.0]


def test_a_slice_whose_text_was_masked_stays_where_it_was(tmp_path: Path) -> None:
    """It says that it is derived (PS3.3 C.7.6.1.1.2), and is still of its echo's kind."""
    datasets = [
        mr_slice(index, image, ImageType=["ORIGINAL", "PRIMARY", kind])
        for index in range(3)
        for image, kind in enumerate("PM")
    ]
    datasets[3].ImageType = ["DERIVED", "PRIMARY", "M"]
    volume = build_volume(datasets, tmp_path / "v", provenance={})
    assert volume.metadata["stacked"]["by"] == ["ImageType"]
    assert volume.metadata["stacked"]["values"] == [[["PRIMARY", "M"]], [["PRIMARY", "P"]]]
    np.testing.assert_array_equal(volume.array[:, :, 0, 0], [[100, 101, 102], [0, 1, 2]])


def test_what_nothing_tells_apart_is_refused(tmp_path: Path) -> None:
    same = [mr_slice(index, image) for index in range(3) for image in range(2)]
    with pytest.raises(GeometryError, match="2 at each, and their headers do not tell them"):
        build_volume(same, tmp_path / "v", provenance={})
    lacking = [mr_slice(index, image, EchoTime=image) for index in range(3) for image in range(2)][
        :-1
    ]
    with pytest.raises(GeometryError, match="1 at some, 2 at others"):
        build_volume(lacking, tmp_path / "v", provenance={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        {"SeriesNumber": 2},
        {"StudyInstanceUID": "2.25.9"},
        {"SeriesDescription": "late"},
        {"SeriesTime": "101500"},
        {"ConvolutionKernel": "B70"},
    ],
)
def test_two_series_under_one_uid_are_no_time_points(
    tmp_path: Path, other: dict[str, object]
) -> None:
    """Though their times, of which the order counts, would tell them apart."""
    datasets = [
        mr_slice(index, image, SeriesNumber=1, AcquisitionTime=f"10{image:02d}00")
        for index in range(3)
        for image in range(2)
    ]
    build_volume(datasets, tmp_path / "v", provenance={})
    for dataset in datasets[1::2]:
        for keyword, value in other.items():
            setattr(dataset, keyword, value)
    with pytest.raises(GeometryError, match=f"differ in {next(iter(other))}"):
        build_volume(datasets, tmp_path / "w", provenance={})


@pytest.mark.parametrize("other", [{"SeriesDescription": "lung"}, {"ConvolutionKernel": "B70"}])
def test_two_series_between_each_other_are_no_volume(tmp_path: Path, other: dict[str, str]) -> None:
    """Half a step apart, their slices would make a regular stack."""
    datasets = [ct_slice(index, step=1.0) for index in range(8)]
    build_volume(datasets, tmp_path / "v", provenance={})
    for dataset in datasets[1::2]:
        for keyword, value in other.items():
            setattr(dataset, keyword, value)
    with pytest.raises(GeometryError, match=f"differ in {next(iter(other))}"):
        build_volume(datasets, tmp_path / "w", provenance={})


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.sampled_from(range(len(ATTRIBUTES))), min_size=1, max_size=3, unique=True),
    st.randoms(use_true_random=False),
)
def test_any_grid_of_attributes_is_told_apart_in_one_order(
    places: int, columns: list[int], chance: random.Random
) -> None:
    images = [
        (place, values) for place in range(places) for values in np.ndindex(*(2 for _ in columns))
    ]
    chance.shuffle(images)
    marks = [
        tuple(float(v[columns.index(c)]) if c in columns else None for c in range(len(ATTRIBUTES)))
        for _, v in images
    ]
    grouped = [[i for i, (at, _) in enumerate(images) if at == place] for place in range(places)]
    ordered, apart = tell_apart(grouped, marks)
    first = [images[i][1] for i in ordered[0]]
    assert all([images[i][1] for i in place] == first for place in ordered)
    assert apart.by == tuple(ATTRIBUTES[c].keyword for c in sorted(columns))
    by_rule = [tuple(v[columns.index(c)] for c in sorted(columns)) for v in first]
    assert by_rule == sorted(by_rule)


def spect(spacing: float, *, slots: int = 1) -> Dataset:
    """Reconstructed SPECT of 4 slices; the first pixel of a frame tells slice and time slot."""
    dataset, detector = ct_slice(0), Dataset()
    dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.20", "NM"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    detector.ImagePositionPatient = dataset.ImagePositionPatient
    detector.ImageOrientationPatient = dataset.ImageOrientationPatient
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelPaddingValue
    dataset.DetectorInformationSequence = [detector]
    frames = [(slot, place) for slot in range(slots) for place in range(4)]
    dataset.NumberOfFrames = len(frames)
    dataset.SliceVector = [place + 1 for _, place in frames]
    dataset.FrameIncrementPointer = [0x00540080]
    if slots > 1:
        dataset.ImageType[2] = "RECON GATED TOMO"
        dataset.TimeSlotVector = [slot + 1 for slot, _ in frames]
        dataset.FrameIncrementPointer = [0x00540070, 0x00540080]
    dataset.SpacingBetweenSlices = spacing
    values = np.zeros((len(frames), 6, 5), "<i2")
    values[:, 0, 0] = [100 * slot + place for slot, place in frames]
    dataset.PixelData = values.tobytes()
    return dataset


@pytest.mark.parametrize(("spacing", "order"), [(3.0, [0, 1, 2, 3]), (-3.0, [3, 2, 1, 0])])
def test_reconstructed_spect_lies_where_its_first_slice_says(
    tmp_path: Path, spacing: float, order: list[int]
) -> None:
    paths = write_series(tmp_path / "in", [spect(spacing)])
    volume = build_volume(paths, tmp_path / "v", provenance={})
    assert volume.axes == ("z", "y", "x")
    assert volume.is_regular
    np.testing.assert_array_equal(volume.array[:, 0, 0], order)
    assert volume.spacing_zyx == (3.0, 0.75, 0.5)
    # A spacing below zero leads against the normal, to the feet (PS3.3 C.8.4.15).
    assert volume.affine[2, 3] == min(-100, -100 + 3 * spacing)
    image = SimpleITK.ReadImage(str(paths[0]))
    for frame, index in enumerate(order):
        place = image.TransformIndexToPhysicalPoint((2, 1, frame))
        assert place == pytest.approx((volume.affine @ (2, 1, index, 1))[:3])
    (again,) = instances_of(volume)
    np.testing.assert_array_equal(again.pixel_array[:, 0, 0], [0, 1, 2, 3])


def test_gated_spect_is_stacked_by_its_slots(tmp_path: Path) -> None:
    volume = build_volume([spect(3.0, slots=2)], tmp_path / "v", provenance={})
    assert volume.axes == ("t", "z", "y", "x")
    assert volume.metadata["stacked"]["by"] == ["TimeSlotVector"]
    np.testing.assert_array_equal(volume.array[:, :, 0, 0], [[0, 1, 2, 3], [100, 101, 102, 103]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]}, "before reconstruction"),
        ({"DetectorInformationSequence": []}, "0 places for its first slice"),
        ({"SpacingBetweenSlices": None}, "SpacingBetweenSlices is missing or 0"),
        ({"SliceVector": [1, 2, 3]}, "SliceVector is missing or not 4"),
        ({"SliceVector": [1, 2, 3, 3]}, "several images at one position"),
        ({"SliceVector": [1, 2, 4, 5]}, "1 slice is missing"),
    ],
)
def test_spect_without_a_place_is_refused(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    dataset = spect(3.0)
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    with pytest.raises(GeometryError, match=reason):
        build_volume([dataset], tmp_path / "v", provenance={})


def test_two_phases_between_each_other_are_no_volume(tmp_path: Path) -> None:
    """One acquisition behind the other is how a CT that stops and shoots has them."""
    datasets = [ct_slice(index, step=1.0) for index in range(12)]
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionNumber = index // 4
    datasets[4].AcquisitionNumber, datasets[3].AcquisitionNumber = 0, 1  # they overlap a little
    build_volume(datasets, tmp_path / "v", provenance={})
    for index, dataset in enumerate(datasets):  # Three were taken once more.
        dataset.AcquisitionNumber = 2 if 4 <= index < 7 else 1
    build_volume(datasets, tmp_path / "again", provenance={})
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionNumber = index % 2
    with pytest.raises(GeometryError, match="2 acquisitions that lie between each other"):
        build_volume(datasets, tmp_path / "w", provenance={})
    for dataset in datasets:
        dataset.SOPClassUID, dataset.Modality = MR, "MR"
    build_volume(datasets, tmp_path / "w", provenance={})


def test_each_picture_of_a_series_is_a_volume(tmp_path: Path) -> None:
    frontal, lateral = np.arange(12).reshape(3, 4), np.arange(10).reshape(5, 2)
    datasets = [
        picture("2.25.2", lateral, PhotometricInterpretation="MONOCHROME1"),
        picture("2.25.1", frontal),
    ]
    write_series(tmp_path / "in", datasets)
    entry = chunk_folder(tmp_path / "in", tmp_path / "out")["series"]["2.25.1"]
    assert entry["axes"] == ["y", "x"]
    assert entry["shape"] == {"y": 3, "x": 4}
    assert entry["spacing_mm"] == {"y": 0.2, "x": 0.1}
    assert entry["affine"] is None
    assert [one["volume"] for one in entry["pictures"]] == [
        "2.25.1-1.ome.zarr",
        "2.25.1-2.ome.zarr",
    ]
    volume = Volume.open(tmp_path / "out" / entry["pictures"][1]["volume"])
    np.testing.assert_array_equal(volume.array[...], lateral)
    assert volume.metadata["PhotometricInterpretation"] == "MONOCHROME1"
    volume.verify()
    with pytest.raises(GeometryError, match="2 images without a place"):
        build_volume(datasets, tmp_path / "v", provenance={})


def test_a_table_of_units_is_told_of_and_used(tmp_path: Path) -> None:
    stored = np.arange(12).reshape(3, 4)
    dataset, lut = picture("2.25.1", stored), Dataset()
    del dataset.RescaleSlope, dataset.RescaleIntercept
    # The first of 11 entries is of the value 1: what is less has it too (PS3.3 C.11.1.1).
    lut.LUTDescriptor, lut.ModalityLUTType = [11, 1, 16], "OD"
    lut.LUTData = np.array([100, *range(202, 212)], "<u2").tobytes()
    dataset.ModalityLUTSequence = [lut]
    (path,) = write_series(tmp_path / "in", [dataset])
    volume = build_volume([path], tmp_path / "v", provenance={})
    assert volume.rescale == Rescale((1.0,), (0.0,), "", "ModalityLUTSequence")
    np.testing.assert_array_equal(volume.array[...], stored)
    expected = np.where(stored < 2, 100, stored + 200)
    np.testing.assert_array_equal(volume.rescaled(), expected)
    assert build_volume([ct_slice(0)], tmp_path / "w", provenance={}).rescale.lut == ""


@pytest.mark.parametrize("layout", [LOCAL, OBJECT_STORE, Layout((4, 4, 4), None, 4)])
def test_a_film_in_colour(tmp_path: Path, layout: Layout) -> None:
    frames = np.random.default_rng(1).integers(0, 255, (9, 5, 7, 3), np.uint8)
    dataset = picture("2.25.1", frames[0, :, :, 0], SOPClassUID=US_FILM, Modality="US")
    dataset.NumberOfFrames, dataset.FrameTime = 9, 40.0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = frames.tobytes() + b"\0"
    del dataset.PixelPaddingValue
    volume = build_volume([dataset], tmp_path / "v", provenance={}, layout=layout)
    assert volume.axes == ("t", "c", "y", "x")
    np.testing.assert_array_equal(volume.array[...], np.moveaxis(frames, -1, 1))
    assert volume.frames == tuple(range(9))
    ome = volume.array.store_path  # the group's attributes are read as anyone would
    assert ome is not None
    volume.verify()


@pytest.mark.parametrize(
    ("syntax", "is_signed", "fragments"),
    [
        (RLELossless, False, 1),
        (RLELossless, True, 1),  # for pydicom to decode
        (JPEGLSLossless, False, 3),
        (JPEG2000Lossless, False, 1),
    ],
)
def test_a_compressed_film_is_in_memory_one_frame_at_a_time(
    tmp_path: Path, syntax: UID, is_signed: bool, fragments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).integers(0, 2000, (90, 48, 40), np.uint16)
    film = picture("2.25.1", values, NumberOfFrames=90, BitsStored=12, HighBit=11)
    film.PixelRepresentation = int(is_signed)
    del film.PixelPaddingValue
    film.compress(syntax, generate_instance_uid=False)
    frames = list(generate_frames(film.PixelData, number_of_frames=90))
    film.PixelData = encapsulate(frames, fragments_per_frame=fragments)
    film["PixelData"].is_undefined_length = True
    paths = write_series(tmp_path / "in", [film])
    volume = built_by_frames(paths, tmp_path / "v", monkeypatch)
    np.testing.assert_array_equal(volume.array[...], values)
    assert volume.attributes.dataset(0).NumberOfFrames == 90


def built_by_frames(paths: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    """Of headers alone, and of what is read of the pixels frame by frame."""

    def header_alone(path: Path, *, stop_before_pixels: bool, most_bytes: int) -> Dataset:
        assert stop_before_pixels
        return read_lazily(path, stop_before_pixels=True)

    with monkeypatch.context() as patch:
        patch.setattr("hounsfield.volume.build.read_lazily", header_alone)
        return build_volume(paths, folder, provenance={})


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "RGB", "YBR_FULL"])
def test_an_uncompressed_film_is_in_memory_one_frame_at_a_time(
    tmp_path: Path, syntax: UID, photometric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = (3,) if photometric != "MONOCHROME2" else ()
    values = np.random.default_rng(1).integers(0, 255, (31, 45, 63, *colours), np.uint8)
    film = picture("2.25.1", values[0].reshape(45, -1), NumberOfFrames=31)
    film.SOPClassUID, film.Modality, film.Columns = US_FILM, "US", 63
    film.SamplesPerPixel, film.PhotometricInterpretation = 3 if colours else 1, photometric
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 8, 8, 7, 0
    if colours:
        film.PlanarConfiguration = 0
    del film.PixelPaddingValue
    film.PixelData = values.tobytes() + b"\0" * (values.size % 2)
    film["PixelData"].VR = "OB"
    film.file_meta.TransferSyntaxUID = syntax
    paths = write_series(tmp_path / "in", [film])
    volume = built_by_frames(paths, tmp_path / "v", monkeypatch)
    expected = np.moveaxis(values, -1, 1) if colours else values
    np.testing.assert_array_equal(volume.array[...], expected)
    whole = build_volume([read_lazily(paths[0])], tmp_path / "w", provenance={})
    assert whole.digest == volume.digest


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_a_film_of_more_frames_than_bytes_is_refused_at_once(tmp_path: Path, syntax: UID) -> None:
    film = picture("2.25.90", np.zeros((3, 4, 5)), SOPClassUID=US_FILM, NumberOfFrames=3)
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax.is_encapsulated:
        film.compress(syntax, generate_instance_uid=False)
    film.file_meta.TransferSyntaxUID = syntax
    film.NumberOfFrames = 2**31 - 1
    (path,) = write_series(tmp_path / "in", [film])
    with pytest.raises(UndecodablePixels, match="frames are claimed"):
        stack_of([path])


@pytest.mark.parametrize(("delta", "spacing"), [(0.01, [0.1, 0.1]), (1e308, None)])
def test_a_picture_of_ultrasound_has_the_scale_of_its_region(
    tmp_path: Path, delta: float, spacing: list[float] | None
) -> None:
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = delta
    image = picture("2.25.90", np.zeros((4, 5)), SequenceOfUltrasoundRegions=[region])
    del image.ImagerPixelSpacing
    volume = build_volume([image], tmp_path / "v", provenance={})
    assert volume.metadata["spacing_yx_mm"] == spacing


def test_of_a_video_it_is_told_that_nothing_here_reads_it(tmp_path: Path) -> None:
    film = picture("2.25.90", np.zeros((3, 4, 5)), SOPClassUID=US_FILM, NumberOfFrames=3)
    film.PixelData = encapsulate([b"video"])
    film["PixelData"].is_undefined_length = True
    film.file_meta.TransferSyntaxUID = MPEG4HP41
    (path,) = write_series(tmp_path / "in", [film])
    with pytest.raises(UndecodablePixels, match="no codec here reads MPEG-4"):
        stack_of([path])
    with pytest.raises(UndecodablePixels, match="no codec here reads MPEG-4"):
        decode(film)


def test_a_film_says_how_fast_it_runs(tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    values = np.arange(60).reshape(5, 3, 4)
    dataset = picture("2.25.1", values, NumberOfFrames=5, FrameTime=40.0)
    build_volume([dataset], tmp_path / "v", provenance={})
    location = parse_url(tmp_path / "v", mode="r")
    assert location is not None
    (node,) = list(Reader(location)())
    assert [axis.get("unit") for axis in node.metadata["axes"]] == [
        "second",
        "millimeter",
        "millimeter",
    ]
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == [0.04, 0.2, 0.1]
    np.testing.assert_array_equal(np.asarray(node.data[0]), values)


def test_uneven_steps_are_kept_and_kept_from_models(tmp_path: Path) -> None:
    datasets = [ct_slice(index) for index in range(5)]
    for dataset, z in zip(datasets, (0, 2, 4, 6.8, 8.8), strict=True):
        dataset.ImagePositionPatient[2] = z
    volume = build_volume(datasets, tmp_path / "v", provenance={})
    assert [position[2] for position in volume.metadata["positions_lps"]] == [0, 2, 4, 6.8, 8.8]
    assert not volume.is_regular
    with pytest.raises(GeometryError, match="not equally far apart"):
        volume.check_regular()
    even = build_volume([ct_slice(i) for i in range(5)], tmp_path / "w", provenance={})
    even.check_regular()
    assert "positions_lps" not in even.metadata


def test_a_stack_in_colour_is_refused(tmp_path: Path) -> None:
    dataset = ct_slice(0)
    dataset.SamplesPerPixel = 3
    with pytest.raises(UndecodablePixels, match="a stack of 3 samples"):
        build_volume([dataset], tmp_path / "v", provenance={})


def pet(**values: object) -> Dataset:
    header, tracer = Dataset(), Dataset()
    header.Units, header.DecayCorrection = "BQML", "START"
    header.CorrectedImage = ["ATTN", "DECY", "SCAT"]
    header.PatientWeight = 70
    header.SeriesDate, header.SeriesTime = "20200102", "093000"
    tracer.RadiopharmaceuticalStartTime = "083000.00"
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = 3.5e8, 3600.0
    header.RadiopharmaceuticalInformationSequence = [tracer]
    for keyword, value in values.items():
        setattr(tracer if keyword.startswith("Radio") else header, keyword, value)
    return header


@pytest.mark.parametrize(
    ("values", "factor"),
    [
        ({}, 70_000 / 1.75e8),  # one half-life has passed
        ({"DecayCorrection": "ADMIN"}, 70_000 / 3.5e8),
        ({"Units": "GML"}, 1.0),
        ({"Units": "GML", "SUVType": "BW"}, 1.0),
        # A series made anew a day later: the images tell when the scan was.
        ({"SeriesDate": "20200103"}, 70_000 / 1.75e8),
        # Before midnight.
        (
            {"RadiopharmaceuticalStartTime": "233000", "RadionuclideHalfLife": 7200.0},
            70_000 / 3.5e8 * 2**5,
        ),
        # Of copper-64, the day before.
        (
            {
                "RadiopharmaceuticalStartDateTime": "20200101093000",
                "RadionuclideHalfLife": 86400 / 2,
            },
            70_000 / 3.5e8 * 2**2,
        ),
        # A time may end with its minutes, or its hour.
        ({"RadiopharmaceuticalStartTime": "0830"}, 70_000 / 1.75e8),
        ({"SeriesTime": "08", "RadiopharmaceuticalStartTime": "07"}, 70_000 / 1.75e8),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20200102063000.00+0000",
                "TimezoneOffsetFromUTC": "+0200",
            },
            70_000 / 1.75e8,
        ),
        ({"RadiopharmaceuticalStartDateTime": "20200102083000+0200"}, 70_000 / 1.75e8),
    ],
)
def test_suv_factor(values: dict[str, object], factor: float) -> None:
    told = suv_factors(pet(**values), ["20200102093000.5", "20200102094500"])
    assert told == {"SUVbw": pytest.approx(factor, rel=1e-3), "reason": ""}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"Units": "PROPCNTS"}, "Units"),
        ({"PatientWeight": None}, "PatientWeight"),
        ({"CorrectedImage": ["DECY"]}, "CorrectedImage"),
        ({"RadionuclideTotalDose": 0}, "RadionuclideTotalDose"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection"),
        ({"RadiopharmaceuticalStartTime": ""}, "RadiopharmaceuticalStartTime"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUVType"),
        ({"RadionuclideHalfLife": 1.0}, "the tracer had decayed"),
        ({"RadionuclideHalfLife": 1e30}, "RadionuclideHalfLife"),
        ({"RadionuclideTotalDose": 5e-324}, "RadionuclideTotalDose"),
        ({"PatientWeight": 1e307}, "PatientWeight"),
        # Of fluorine-18, injected while the scan ran: that is not a day ago.
        (
            {"RadiopharmaceuticalStartTime": "093010", "RadionuclideHalfLife": 6586.2},
            "the tracer had decayed",
        ),
        # Of zirconium-89: an hour ago, or days and an hour; or a minute after the scan began.
        ({"RadionuclideHalfLife": 282_240.0}, "RadiopharmaceuticalStartDateTime is missing"),
        (
            {"RadiopharmaceuticalStartTime": "093100", "RadionuclideHalfLife": 282_240.0},
            "RadiopharmaceuticalStartDateTime is missing",
        ),
        ({"Units": "CNTS"}, "Units is CNTS, and Philips"),
        ({"RadiopharmaceuticalStartDateTime": "20190102083000"}, "the tracer had decayed"),
        ({"RadiopharmaceuticalStartDateTime": "20200102103000"}, "the tracer was injected after"),
    ],
)
def test_no_suv_factor_without_what_it_takes(values: dict[str, object], reason: str) -> None:
    told = suv_factors(pet(**values), ["20200102093000"])
    assert told["SUVbw"] is None
    assert told["reason"].startswith(reason)


def test_suv_factor_of_philips() -> None:
    header = pet(Units="CNTS")
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0")
    block.add_new(0x09, "DS", "1.5")
    of_activity = {"SUVbw": pytest.approx(1.5 * 70_000 / 1.75e8), "reason": ""}
    assert suv_factors(header, ["20200102093000"]) == of_activity
    block[0x00].value = "0.0005"
    assert suv_factors(header, ["20200102093000"]) == {"SUVbw": 0.0005, "reason": ""}


def test_of_a_series_of_ge_that_was_made_anew_the_scan_is_told() -> None:
    header = pet(SeriesDate="20200103")
    block = header.private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x0D, "DT", "20200102093000.00")
    told = suv_factors(header, ["20200102100000"])
    assert told["SUVbw"] == pytest.approx(70_000 / 1.75e8)
    header.SeriesDate = "20200102"
    block[0x0D].value = "20200102090000.00"
    assert suv_factors(header, ["20200102100000"]) == told


@pytest.mark.data
def test_real_kinds(real_data: Path, tmp_path: Path) -> None:
    expected = {
        "enh_mr_xa10": [("t", 4), ("z", 6), ("y", 64), ("x", 64)],
        "enh_mr_moveknee": [("t", 19), ("z", 1), ("y", 256), ("x", 256)],
        "xa_96f_fragments": [("t", 96), ("y", 512), ("x", 512)],
        "us_sonosite_30f": [("t", 30), ("c", 3), ("y", 240), ("x", 320)],
        "us_mindray_burned": [("c", 3), ("y", 910), ("x", 1260)],
        "mg_overlay_oob": [("y", 788), ("x", 1318)],
        "dx_dog": [("y", 169), ("x", 211)],
    }
    for name, shape in expected.items():
        (entry,) = chunk_folder(real_data / name, tmp_path / name)["series"].values()
        assert list(entry["shape"].items()) == shape
        volume = Volume.open(tmp_path / name / entry["volume"])
        volume.verify()
    mammogram = volume_of(tmp_path / "mg_overlay_oob")
    overlays = mammogram.attributes.dataset(0)
    assert len(overlays[0x60003000].value) > 0, "overlays are kept with the attributes"


def volume_of(folder: Path) -> Volume:
    (path,) = folder.glob("*.ome.zarr")
    return Volume.open(path)
