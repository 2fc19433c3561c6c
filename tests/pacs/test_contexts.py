from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    SegmentationStorage,
    UltrasoundMultiFrameImageStorage,
)

from hounsfield.pacs import contexts
from hounsfield.pacs.contexts import MAX_CONTEXTS, STORAGE_CLASSES, plan

LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
JPEG2000 = "1.2.840.10008.1.2.4.90"
H264 = "1.2.840.10008.1.2.4.102"


@given(st.lists(st.sampled_from(STORAGE_CLASSES), min_size=1, unique=True), st.booleans())
@settings(max_examples=10, deadline=None)
def test_each_association_fits_and_each_class_is_tried(
    classes: list[str], exhaustive: bool
) -> None:
    tried: set[str] = set()
    for batch in plan(classes, exhaustive=exhaustive, reserved=1):
        assert len(batch.contexts) + 1 <= MAX_CONTEXTS
        assert {item.abstract_syntax for item in batch.contexts} == batch.classes
        assert {role.sop_class_uid for role in batch.roles} == batch.classes
        tried |= batch.classes
    assert tried == set(STORAGE_CLASSES if exhaustive else classes)


@pytest.mark.parametrize("uid", [CTImageStorage, SegmentationStorage, LABELMAP])
def test_images_may_come_compressed(uid: str) -> None:
    assert uid in STORAGE_CLASSES
    assert JPEG2000 in contexts.syntaxes(uid)
    assert H264 not in contexts.syntaxes(uid)


def test_what_has_no_pixels_needs_few_contexts() -> None:
    assert len(contexts.syntaxes(ComprehensiveSRStorage)) == 4


def test_video() -> None:
    assert H264 in contexts.syntaxes(UltrasoundMultiFrameImageStorage)


def test_first_round_has_one_context_for_each_syntax() -> None:
    """So that an acceptor cannot choose another one than it keeps."""
    first = next(plan([CTImageStorage], exhaustive=False, reserved=1))
    assert all(len(item.transfer_syntax) == 1 for item in first.contexts)


@pytest.mark.parametrize("modality", ["CT", "MR", "SR", "SEG", "US", "SM", "RTSTRUCT"])
def test_guesses_are_storage_classes(modality: str) -> None:
    assert contexts.guess(modality)
    assert set(contexts.guess(modality)) <= set(STORAGE_CLASSES)


def test_an_unknown_modality_is_not_guessed() -> None:
    assert contexts.guess("XYZ") == ()
