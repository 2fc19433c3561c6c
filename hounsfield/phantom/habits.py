"""How four makers of scanners write their headers: a table of habits.

The creators of the private blocks are those that real files have, so that rules by creator
are exercised; models, serial numbers and contents are made up.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from hounsfield.phantom.identity import Patient

__all__ = ["CANON", "GE", "HABITS", "PHILIPS", "SIEMENS", "Habit", "PrivateBlock"]

#: A value of a private element; in text, ``{field}`` stands for that field of the patient.
PrivateValue = str | int | float | bytes


@dataclass(frozen=True)
class PrivateBlock:
    """One block of private elements (PS3.5 7.8.1): (offset, VR, value) each."""

    group: int
    creator: str
    elements: tuple[tuple[int, str, PrivateValue], ...]

    def add_to(self, dataset: Dataset, patient: Patient) -> None:
        """Writes the block; an OB element takes its text as bytes, an SQ as one item's name."""
        block = dataset.private_block(self.group, self.creator, create=True)
        for offset, vr, value in self.elements:
            block.add_new(offset, vr, _filled(vr, value, patient))


@dataclass(frozen=True)
class Habit:
    """How one maker writes a chest CT.

    Attributes
    ----------
    character_sets
        SpecificCharacterSet, PS3.3 C.12.1.1.2.
    script
        Of the patients' names there: see `draw_patient`.
    signed
        Stored values are HU in two's complement with intercept 0, and -2000 outside the
        field of view; else unsigned with intercept -1024.
    headwards
        Whether InstanceNumber grows towards the head.
    file_name
        Pattern over ``number`` (InstanceNumber), ``uid``, ``patient`` and ``date``.
    """

    name: str
    manufacturer: str
    model: str
    software: str
    study_description: str
    series_description: str
    protocol: str
    kernel: tuple[str, ...]
    sharpness: float
    noise_hu: float
    pixel_mm: float
    character_sets: tuple[str, ...]
    script: str
    transfer_syntax: str
    signed: bool
    headwards: bool
    file_name: str
    private: tuple[PrivateBlock, ...]


GE = Habit(
    name="ge",
    manufacturer="GE MEDICAL SYSTEMS",
    model="LightQuant 64",
    software="quant_hp60.3",
    study_description="CT CHEST",
    series_description="CHEST {mm:g}MM STD",
    protocol="5.1 CHEST ROUTINE",
    kernel=("STANDARD",),
    sharpness=0.0,
    noise_hu=13.0,
    pixel_mm=0.78125,
    character_sets=("ISO_IR 100",),
    script="latin",
    transfer_syntax=ExplicitVRLittleEndian,
    signed=True,
    headwards=False,
    file_name="i{number:04d}.CTDC.{number}",
    private=(
        PrivateBlock(
            0x0009,
            "GEMS_IDEN_01",
            ((0x01, "LO", "CT_LIGHTQUANT"), (0x02, "SH", "{station}"), (0x04, "SH", "LQ64")),
        ),
        PrivateBlock(0x0011, "GEMS_PATI_01", ((0x10, "SS", 0),)),
        PrivateBlock(0x0019, "GEMS_ACQU_01", ((0x02, "SL", 912), (0x0F, "DS", "389.75"))),
        PrivateBlock(
            0x0043,
            "GEMS_PARM_01",
            (
                (0x10, "US", 400),
                (0x27, "SH", "/0.98:1"),
                (0x2A, "OB", "CT01 LQ64 {name} {patient_id}"),
            ),
        ),
    ),
)

SIEMENS = Habit(
    name="siemens",
    manufacturer="SIEMENS",
    model="SOMATIX Quirl",
    software="syngo CT 2011Q",
    study_description="CT Thorax {family}",
    series_description="Thorax  {mm:.1f}  I31f  3",
    protocol="Thorax_Routine",
    kernel=("I31f", "3"),
    sharpness=0.15,
    noise_hu=15.0,
    pixel_mm=0.76171875,
    character_sets=("ISO_IR 100",),
    script="accented",
    transfer_syntax=ExplicitVRLittleEndian,
    signed=False,
    headwards=False,
    file_name="{patient}.CT.THORAX.0002.{number:04d}.{date}.IMA",
    private=(
        PrivateBlock(0x0009, "SIEMENS CT VA0  IDE", ((0x10, "LO", "{station}"),)),
        PrivateBlock(0x0013, "SIEMENS CM VA0  CMS", ((0x20, "PN", "{name}"),)),
        PrivateBlock(0x0019, "SIEMENS CT VA0  COAD", ((0x10, "IS", "535"), (0x11, "IS", "500"))),
        PrivateBlock(
            0x0029,
            "SIEMENS CSA HEADER",
            (
                (0x08, "CS", "SOM 7"),
                (0x09, "LO", "VA10A 971201"),
                (0x10, "OB", "SV10 PatientName {name} PatientID {patient_id}"),
            ),
        ),
    ),
)

PHILIPS = Habit(
    name="philips",
    manufacturer="Philips",
    model="iQuant 256",
    software="4.1.9",
    study_description="TK klatki piersiowej",
    series_description="Thorax {mm:g}mm, B, iDose (3)",
    protocol="Thorax /Chest",
    kernel=("B",),
    sharpness=0.05,
    noise_hu=14.0,
    pixel_mm=0.7734375,
    character_sets=("ISO_IR 192",),
    script="polish",
    transfer_syntax=ImplicitVRLittleEndian,
    signed=False,
    headwards=True,
    file_name="{uid}",
    private=(
        PrivateBlock(
            0x00E1,
            "ELSCINT1",
            (
                (0x36, "CS", "NO"),
                (0x39, "SQ", "{name}"),
                (0x40, "SH", "Thorax"),
                (0x63, "SH", "POLSKI"),
            ),
        ),
        PrivateBlock(0x01F1, "ELSCINT1", ((0x01, "CS", "HELIX"), (0x27, "DS", "0.5"))),
    ),
)

CANON = Habit(
    name="canon",
    manufacturer="CANON MEDICAL SYSTEMS",
    model="Aquiline QX",
    software="V10.11QR",
    study_description="胸部CT",
    series_description="Chest {mm:.1f} FC18",
    protocol="Chest helical",
    kernel=("FC18",),
    sharpness=0.3,
    noise_hu=16.0,
    pixel_mm=0.78125,
    character_sets=("", "ISO 2022 IR 87"),
    script="japanese",
    transfer_syntax=ExplicitVRLittleEndian,
    signed=False,
    headwards=True,
    file_name="IM{number:06d}.dcm",
    private=(
        PrivateBlock(
            0x7005,
            "TOSHIBA_MEC_CT3",
            (
                (0x08, "DS", "0.5"),
                (0x09, "LO", "80"),
                (0x0B, "SH", "ORG"),
                (0x11, "LT", "For {patient_id}"),
                (0xF0, "PN", "{name}"),
            ),
        ),
    ),
)

#: In the order in which studies get them.
HABITS = (GE, SIEMENS, PHILIPS, CANON)


def _filled(vr: str, value: PrivateValue, patient: Patient) -> object:
    if not isinstance(value, str):
        return value
    text = value.format_map(vars(patient))
    if vr == "OB":
        raw = text.encode()
        return raw + b"\0" * (len(raw) % 2)
    if vr == "SQ":
        item = Dataset()
        item.PatientName = text
        item.ReferringPhysicianName = patient.referring
        return Sequence([item])
    return text
