"""The factor from what a PET stores to standardised uptake values, or why there is none."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from hounsfield.volume.suv import suv_factors


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
