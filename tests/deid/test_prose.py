"""Free text that is kept names nobody: not the patient, and not a stranger of no header."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import CTImageStorage

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile, explain
from hounsfield.deid.table import find_row
from hounsfield.deid.text import TextCleaner
from hounsfield.deid.values import strings
from hounsfield.pseudonyms import Pseudonyms

STRANGERS = """
Ehrwynda Jolbngweholtz|Hanna Müller|Jean-Luc Lefèvre|Siobhán Ó Ceallaigh|Łukasz Świątek
Agnieszka Żółkiewska|Ayşe Yılmaz|Nguyễn Văn Hùng|Žofie Dvořáková|Þórdís Guðmundsdóttir
João Gonçalves|Begoña Ibáñez|Ivan Petrov|Иван Петров|Олена Ковальчук|Γεώργιος Παπαδόπουλος
محمد الأحمد|דוד לוי|田中 太郎|山田 花子|王 小明|李 雷|김 민수|박 지영|สมชาย ใจดี|राजेश कुमार
Rajesh Kumar|Fatima Hussein|Oluwaseun Adeyemi|Thandiwe Nkosi|O'Brien, Patrick|SMITH JOHN
Jones, Mary|WILLIAMS^ROBERT|Garcia Lopez|Kim Min-su|Chen Wei|Rosalind Franklin|Brown, Charlie
""".replace("\n", "|").split("|")
CLEANER = TextCleaner(KnownIdentifiers())


@pytest.mark.parametrize("name", [name for name in STRANGERS if name])
def test_a_strangers_name_goes_from_descriptors_and_prose(name: str) -> None:
    assert CLEANER.descriptor(f"CT thorax {name} 1.25mm").split() == ["CT", "thorax", "1.25mm"]
    assert CLEANER.prose(f"please call {name} after the study") == "please call after the study"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Sharp Hand wants a copy", "wants a copy"),
        ("Wife: Dixon Waters", "Wife"),
        ("Sharp pain in the left hand.", "pain in the left hand."),
        ("sharp pain in the left hand.", "sharp pain in the left hand."),
        # Sides and parts that hardly anybody is called by.
        ("Left lung nodule. Right upper lobe, Spine", "Left lung nodule. Right upper lobe, Spine"),
        ("Heart and Lung", "and"),
    ],
)
def test_a_capital_makes_a_name_of_a_word_in_prose(text: str, left: str) -> None:
    assert CLEANER.prose(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "T1W_aTSE SENSE",
        "sT2W/FLAIR SENSE",
        "1A TRAUMA/PLAIN HEAD DM /Head",
        "[WB_CTAC] Body",
        "PET FDG CE TOF + BB",
        "AxT2FrFSE fs",
        "t1sagknee",
        "ep2d_diff_3scan_trace_p2_ADC",
        "t2_tse_dixon_sag_p2_W",
        "MPR Sagittal 1.25 mm B70f",
        "HIRN ohne KM nativ",
        "IRM cérébrale, neuro-crâne",
        "КТ грудной клетки",
        "胸部単純CT",
        "흉부 CT 조영",
        "رنين الدماغ",
        "XR C Spine Comp Min 4 Views",
        "Abdomen^Liver 3 Phase (Adult)",
        "RIGHT HAND 3 VIEWS",
        "SPECT MIBI stress 30/60/90 keV",
        "Ga-68 PSMA PET",
        "MOLLI T1 map, PSIR",
        "NM GASTRIC EMPTYING",
        "AAHead_Scout_64ch-head-coil_MPR_sag",
    ],
)
def test_protocol_names_stay_whole(text: str) -> None:
    assert CLEANER.descriptor(text) == text


@pytest.mark.data
def test_real_descriptors_keep_what_they_say(real_data: Path) -> None:
    """Of the words in all descriptors of the real files, which name nobody but Scott Kaufman."""
    texts = set()
    for path in sorted(path for path in real_data.rglob("*") if path.is_file()):
        try:
            elements = list(dcmread(path, stop_before_pixels=True, force=True).iterall())
            for element in elements:
                row = find_row(int(element.tag))
                cleaned = row is not None and row.options.get("descriptors") == "C"
                if cleaned and element.VR in ("LO", "SH") and not element.tag.is_private:
                    texts.update(strings(element))
        except Exception:  # files that nothing reads are other tests' matter
            continue
    words = [re.findall(r"\w+", text) for text in texts]
    kept = [re.findall(r"\w+", CLEANER.descriptor(text)) for text in texts]
    assert sum(map(len, words)) > 200
    assert sum(map(len, kept)) / sum(map(len, words)) > 0.95


@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
@pytest.mark.parametrize(
    "keyword",
    [
        *("PatientComments", "SegmentDescription", "SegmentLabel", "FrameLabelVector"),
        *("BeamName", "TreatmentProtocols", "PatientAdditionalPosition", "ProtocolElementName"),
        *("PotentialReasonsForProcedure", "RequestedProcedureDescriptionTrial"),
        "HangingProtocolCreator",
    ],
)
def test_a_stranger_in_an_object_goes(profile: str, keyword: str) -> None:
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2"
    dataset.PatientID, dataset.PatientName = "P1", "Known^Name"
    setattr(dataset, keyword, "wants a call after the study, or ask Ehrwynda Jolbngweholtz.")
    engine = Deidentifier(Profile.load(profile), Pseudonyms(b"k" * 32))
    engine.header(dataset, KnownIdentifiers.gather([dataset]))
    assert "Jolbngweholtz" not in str(dataset)
    assert "Ehrwynda" not in str(dataset)


def test_explain_says_how_free_text_is_cleaned() -> None:
    research = Profile.load("research")
    assert "words of the examination stay" in explain("StudyDescription", research).outcome
    assert "unless written small" in explain("ImageComments", research).outcome
    assert "removed" in explain("ImageComments", Profile.load("strict")).outcome
    assert "free text" in explain("SegmentDescription", Profile.load("strict")).source
