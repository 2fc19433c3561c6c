"""What science needs is there afterwards: timing and geometry, and who refers to whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.text import TextCleaner
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]
PROFILES = ("strict", "research", "internal")

#: What a slice has its place in time and space by, and what a dose is divided by.
NEEDED = {
    "TriggerTime": 312.5,
    "FrameReferenceTime": 1498.75,
    "AcquisitionTime": "101112.345678",
    "ContentTime": "101113",
    "ActualFrameDuration": 60000,
    "DecayFactor": 1.0625,
    "TemporalPositionIdentifier": 3,
    "ImagePositionPatient": [-250.5, -251.25, 17.5],
    "ImageOrientationPatient": [1, 0, 0, 0, 0.959, -0.284],
    "PixelSpacing": [0.75, 0.75],
    "SliceThickness": 2.5,
    "SliceLocation": 17.5,
    "PatientWeight": 71.25,
    "PatientSize": 1.68,
}
TIMES, BODY = {"AcquisitionTime", "ContentTime"}, {"PatientWeight", "PatientSize"}


@pytest.mark.parametrize(
    ("profile", "gone"), [("research", set()), ("internal", set()), ("strict", TIMES | BODY)]
)
def test_timing_geometry_and_weight(
    profile: str, gone: set[str], make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """Times of day and the patient's body stay where the profile retains them."""
    dose = Dataset()
    dose.RadiopharmaceuticalStartTime, dose.RadionuclideTotalDose = "091500.25", 370000000
    dose.RadionuclideHalfLife = 6586.2
    dataset = make_dataset(
        SOPClassUID=PositronEmissionTomographyImageStorage,
        RadiopharmaceuticalInformationSequence=Sequence([dose]),
        **NEEDED,
    )
    before = {keyword: dataset[keyword].value for keyword in NEEDED}
    Deidentifier(Profile.load(profile), pseudonyms).header(dataset, KnownIdentifiers())
    left = {keyword for keyword in NEEDED if dataset.get(keyword) == before[keyword]}
    assert left == NEEDED.keys() - gone
    (dose,) = dataset.RadiopharmaceuticalInformationSequence
    assert (dose.RadionuclideTotalDose, dose.RadionuclideHalfLife) == (370000000, 6586.2)
    assert (dose.get("RadiopharmaceuticalStartTime") == "091500.25") == (profile != "strict")


# Where in the body.

#: Defined Terms of Body Part Examined (PS3.16 Annex L), of people and of animals.
BODY_PARTS = """
ABDOMEN ABDOMENPELVIS ABDOMINALAORTA ACA ACJOINT ADRENAL AMNIOTICFLUID ANKLE ANTCARDIACV
ANTCOMMA ANTECUBITALV ANTSPINALA ANTTIBIALA ANUS ANUSRECTUMSIGMD AORTA AORTICARCH APPENDIX
ARTERY ASCAORTA ASCENDINGCOLON ATLANTOAXIAL ATLANTOOCCIPITAL AXILLA AXILLARYA AXILLARYV
AZYGOSVEIN BACK BASILARA BILEDUCT BILIARYTRACT BLADDER BLADDERURETHRA BRACHIALA BRACHIALV BRAIN
BREAST BRONCHUS BULB BUTTOCK CALCANEUS CALF CAROTID CARPUS CCA CELIACA CEPHALICV CEREBELLUM
CEREBHEMISPHERE CEREBRALA CERVIX CFA CFV CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CHOROIDPLEXUS
CIRCLEOFWILLIS CLAVICLE COCCYX COLON COMILIACA COMILIACV COMMONBILEDUCT CORNEA CORONARYARTERY
CORONARYSINUS CSPINE CTSPINE CULDESAC DESCAORTA DESCENDINGCOLON DIGIT DISTALPHALANX DUODENUM EAC
EAR ECA ELBOW ENDOARTERIAL ENDOCARDIAC ENDOESOPHAGEAL ENDOMETRIUM ENDONASAL ENDONASOPHARYNYX
ENDORECTAL ENDORENAL ENDOURETERIC ENDOURETHRAL ENDOVAGINAL ENDOVASCULAR ENDOVENOUS ENDOVESICAL
EPIDIDYMIS EPIGASTRIC ESOPHAGUS EXTILIACA EXTILIACV EXTJUGV EXTREMITY EYE EYELID FACE FACIALA
FEMORALA FEMORALV FEMUR FETALARM FETALDIGIT FETALHEART FETALLEG FETALPOLE FIBULA FINGER FLANK
FONTANEL FOOT FOREARM FOREFETLOCK FOREFOOT FORENAVICULAR FOREPASTERN FRONTALSINUS GALLBLADDER
GASTRICV GENICULARA GESTSAC GLUTEAL GSV HAND HEAD HEADNECK HEART HEPATICA HEPATICV HINDFETLOCK
HINDFOOT HINDNAVICULAR HINDPASTERN HIP HUMERUS HYPOGASTRIC HYPOPHARYNX IAC ICA ILEUM ILIACA
ILIACV ILIUM INFMESA INFVENACAVA INGUINAL INNOMINATEA INNOMINATEV INTILIACA INTJUGULARV
INTMAMMARYA INTRACRANIAL JAW JEJUNUM JOINT KIDNEY KNEE LACRIMALA LARGEINTESTINE LARYNX LATRIUM
LATVENTRICLE LEG LEGS LFEMORALA LHEPATICV LHYPOCHONDRIAC LINGUALA LINGUINAL LIVER LLQ LLUMBAR
LOWERLEG LOWERLIMB LPORTALV LPULMONARYA LSPINE LSSPINE LSUPPULMONARYV LUMBAR LUMBARA LUMEN LUNG
LUQ LVENTRICLE MANDIBLE MASTOID MAXILLA MCA MEDIASTINUM MESENTRICA MESENTRICV METACARPUS
METATARSUS MIDHEPATICV MORISONSPOUCH MOUTH NASOPHARYNX NECK NECKCHEST NECKCHESTABDOMEN
NECKCHESTABDPELV NOSE OCCPITALA OCCPITALV OPHTHALMICA OPTICCANAL ORBIT OVARY PANCBILEDUCT
PANCREAS PANCREATICDUCT PARASTERNAL PARATHYROID PAROTID PATELLA PCA PELVIS PELVISLOWEXTREMT
PENILEA PENIS PERINEUM PERONEALA PHANTOM PHARYNX PHARYNXLARYNX PLACENTA POPLITEALA
POPLITEALFOSSA POPLITEALV PORTALV POSCOMMA POSTIBIALA PROFFEMA PROFFEMV PROSTATE PULMONARYA
PULMONARYV RADIALA RADIUS RADIUSULNA RATRIUM RECTUM RENALA RENALV RETROPERITONEUM RFEMORALA
RHEPATICV RHYPOCHONDRIAC RIB RINGUINAL RLQ RLUMBAR RPORTALV RPULMONARYA RSUPPULMONARYV RUQ
RVENTRICLE SACRUM SAPHENOUSV SCALP SCAPULA SCJOINT SCLERA SCROTUM SELLA SEMVESICLE SESAMOID SFA
SFJ SFV SHOULDER SIGMOID SIJOINT SKULL SMA SMALLINTESTINE SPINALCORD SPINE SPLEEN SPLENICA
SPLENICV SSPINE STERNUM STIFLE STOMACH SUBCLAVIANA SUBCLAVIANV SUBCOSTAL SUBMANDIBULAR
SUPRACLAVICULAR SUPRAPUBIC SUPTHYROIDA SVC TAIL TARSUS TESTIS THALAMUS THIGH THORACICAORTA
THORAX THUMB THYMUS THYROID TIBIA TIBIAFIBULA TLSPINE TMJ TMJOINT TOE TONGUE TRACHEA
TRACHEABRONCHUS TRANSVERSECOLON TSPINE UGITRACT ULNA ULNARA UMBILICAL UMBILICALA UMBILICALV
UPPERARM UPPERLIMB UPRURINARYTRACT URETER URETHRA URINARYTRACT UTERUS VAGINA VEIN VERTEBRALA
VULVA WHOLEBODY WING WRIST ZYGOMA 3RDVENTRICLE 4THVENTRICLE
""".split()  # noqa: SIM905

#: Names of regions as AAPM TG-263 and segmentation models have them.
REGIONS = """
Cochlea_R OpticNrv_L BrachialPlex_L Glnd_Submand_R SpinalCord_PRV05 Musc_Constrict_S Eye_L Lens_R
Femur_Head_L A_LAD Bowel_Bag SeminalVes_Dist Bone_Mandible LN_Sclav_R CaudaEquina PubicSymphys
Hypothalmus Cartlg_Thyroid vertebrae_L1 autochthon_left clavicula_right V_Venacava_S SkullBase
""".split()  # noqa: SIM905


@pytest.mark.parametrize("profile", ["research", "internal"])
def test_every_body_part_of_the_standard(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    engine = Deidentifier(Profile.load(profile), pseudonyms)
    left = set()
    for term in BODY_PARTS:
        dataset = make_dataset(BodyPartExamined=term)
        engine.header(dataset, KnownIdentifiers())
        left.add(dataset.get("BodyPartExamined"))
    assert set(BODY_PARTS) - left == set()


@pytest.mark.parametrize("name", REGIONS)
def test_names_of_regions(name: str) -> None:
    assert TextCleaner(KnownIdentifiers()).descriptor(name) == name


# References.

STUDY = "1.2.3.4.5"
SLICES = [f"{STUDY}.0.{number}" for number in range(3)]


def reference(instance: str, sop_class: str = CTImageStorage) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = sop_class, instance
    return made


def referenced_series() -> Dataset:
    made = Dataset()
    made.SeriesInstanceUID = f"{STUDY}.0"
    made.ReferencedImageSequence = Sequence(map(reference, SLICES))
    made.ReferencedInstanceSequence = Sequence(map(reference, SLICES))
    return made


def presentation_state() -> dict[str, object]:
    return {"ReferencedSeriesSequence": Sequence([referenced_series()])}


def segmentation() -> dict[str, object]:
    frames = []
    for instance in SLICES:
        derivation, frame = Dataset(), Dataset()
        derivation.SourceImageSequence = Sequence([reference(instance)])
        frame.DerivationImageSequence = Sequence([derivation])
        frames.append(frame)
    return {
        "ReferencedSeriesSequence": Sequence([referenced_series()]),
        "PerFrameFunctionalGroupsSequence": Sequence(frames),
    }


def structure_set() -> dict[str, object]:
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = f"{STUDY}.0"
    series.ContourImageSequence = Sequence(map(reference, SLICES))
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", STUDY
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = f"{STUDY}.7"
    frame.RTReferencedStudySequence = Sequence([study])
    contour, roi = Dataset(), Dataset()
    contour.ContourImageSequence = Sequence([reference(SLICES[0])])
    contour.ContourData = [1.0, 2.0, 3.0]
    roi.ContourSequence = Sequence([contour])
    return {
        "ReferencedFrameOfReferenceSequence": Sequence([frame]),
        "ROIContourSequence": Sequence([roi]),
    }


#: Modality → SOP Class, and what refers to the slices.
DERIVED: dict[str, tuple[str, Callable[[], dict[str, object]]]] = {
    "PR": (GrayscaleSoftcopyPresentationStateStorage, presentation_state),
    "SEG": (SegmentationStorage, segmentation),
    "RTSTRUCT": (RTStructureSetStorage, structure_set),
}


def links(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """What an object says of others: UIDs by their attribute, at any depth."""
    kinds = ("ReferencedSOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    for element in dataset.iterall():
        if element.keyword in (*kinds, "StudyInstanceUID") and element.value:
            yield element.keyword, str(element.value)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("modality", DERIVED)
def test_a_study_refers_to_itself_as_before(
    modality: str, profile: str, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    frame = {"FrameOfReferenceUID": f"{STUDY}.7"}
    sop_class, refer = DERIVED[modality]
    datasets = [make_dataset(SOPInstanceUID=instance, **frame) for instance in SLICES]
    own = {"SOPInstanceUID": f"{STUDY}.1.0", "SeriesInstanceUID": f"{STUDY}.1"}
    facts = {"SOPClassUID": sop_class, "Modality": modality, **own, **frame, **refer()}
    datasets.append(make_dataset(**facts))
    expected = defaultdict(set)
    for dataset in datasets:
        instance = pseudonyms.uid(dataset.SOPInstanceUID)
        expected[instance] = {(kind, pseudonyms.uid(uid)) for kind, uid in links(dataset)}
    paths = [tmp_path / "in" / f"{number}.dcm" for number in range(len(datasets))]
    for dataset, path in zip(datasets, paths, strict=True):
        write_dataset(dataset, path)
    engine = Deidentifier(Profile.load(profile), pseudonyms)
    report = engine.study(paths, tmp_path / "out")
    assert len(report.written) == len(paths)
    outputs = [read_header(tmp_path / "out" / record.output) for record in report.written]
    assert {str(one.SOPInstanceUID): set(links(one)) for one in outputs} == expected
    slices = {("ReferencedSOPInstanceUID", pseudonyms.uid(instance)) for instance in SLICES}
    assert slices <= expected[pseudonyms.uid(f"{STUDY}.1.0")]


#: Folder of a study in pieces → who refers to whom in it, by the names of the files.
REAL = {
    "obj_rt_breast": {("rtss", "ct.0"), ("rtplan", "rtss")},
    "obj_highdicom": {
        ("seg_image_ct_binary_single_frame", "ct_image"),
        ("sr_document", "ct_image"),
        ("seg_image_sm_control", "sm_image_control"),
        ("sm_annotations", "sm_image_control"),
    },
}


@pytest.mark.data
@pytest.mark.parametrize("folder", REAL)
def test_real_objects_refer_to_each_other_as_before(
    folder: str, real_data: Path, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    names = sorted({name for pair in REAL[folder] for name in pair})
    paths = [real_data / folder / f"{name}.dcm" for name in names]
    engine = Deidentifier(Profile.load("research"), pseudonyms, pixels=False)
    report = engine.study(paths, tmp_path)
    before = [read_header(path) for path in paths]
    after = [read_header(tmp_path / record.output) for record in report.instances]
    assert REAL[folder] <= pairs(names, before) == pairs(names, after)


def pairs(names: list[str], datasets: list[FileDataset]) -> set[tuple[str, str]]:
    """Who refers to whom of these, by name."""
    name_of = {str(one.SOPInstanceUID): name for name, one in zip(names, datasets, strict=True)}
    return {
        (name, name_of[uid])
        for name, one in zip(names, datasets, strict=True)
        for kind, uid in links(one)
        if kind == "ReferencedSOPInstanceUID" and uid in name_of
    }
