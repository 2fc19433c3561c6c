"""Words that belong to the examination, though somebody may be called by one of them.

A patient named Head or Long must not take the body part out of every description: alone,
such a word stays; beside another part of the name, or after a title, it goes.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NO_NAMES", "VOCABULARY"]

VOCABULARY: Final = frozenset(
    """
    abdomen abdominal acute adult angio ankle anterior aorta apical arm arterial art ax axial
    back base bilateral bladder blood body bolus bone both brain breast breath bright broad
    cardiac carotid cerebral cervical chest child clear close cor coronal coronary cranial
    deep delay delayed diffusion disc dorsal dose double down dual dynamic early echo elbow eye
    face fast fat feet field fine first flair flow foot frontal full gradient gray grey hand
    hard head heart heel hepatic high hip hold image jaw joint kidney knee lateral left leg
    limb liver localizer long low lower lumbar lung major map mass medium mid minor motion
    neck neuro new nose oblique old open oral orbit pelvis perfusion phase plain planar portal
    post posterior pre prone protocol proton quick range rapid rest rib right routine sagittal
    scan scout screen series shaft sharp short shoulder single sinus skull slice slow small
    smooth soft spin spine standard stone stress study supine survey temporal test thick thigh
    thin thoracic thorax tissue toe total upper venous view volume wall water whole wide wrist
    young
    """.split()  # noqa: SIM905
)

#: Words that stand in name fields and name nobody.
NO_NAMES: Final = frozenset(
    """
    anon anonymous anonymized anonymised dr jr md mr mrs ms nil no none null phd prof
    removed rn rt sr the unknown unspecified xxx and der van von del los las bin ibn
    """.split()  # noqa: SIM905
)
