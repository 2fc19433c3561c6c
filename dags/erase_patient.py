"""A patient's right to erasure: found everywhere, approved, deleted, proven, certified."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from operators.erasure import (
    ApproveErasureOperator,
    CertifyErasureOperator,
    EraseOperator,
    PlanErasureOperator,
)
from operators.policy import DEFAULTS

DOC = """
## erase_patient: forget one patient

`plan` finds all that is here of a patient: in every zone and tier, in quarantine, in what waits or
was left by a kill, in the catalog, the vault, MLflow, and in frozen snapshots. What is pushed or
pulled and not admitted yet has no row: whose it is, its headers tell. `approve` asks a person.
`erase` deletes, and leaves a tombstone of each thing; snapshots that had the patient become
`superseded: erasure`, with a successor without the patient. `certify` looks everywhere again and
puts a certificate into the zone `evidence`: what was deleted, which models learned from the
patient, which results are in the PACS (they stay: they are the hospital's record), and what no
erasure reaches, such as backups. Studies that wait and name nobody are listed there, too.

Where instances of several patients wait under one study, or are in one whose newest images
validation has not passed, those of this patient go, with what was made of them, and nothing of the
others. The latter then has a revision without them: the log of `erase` names it; trigger `prepare`
with its key.

The form takes the patient's **pseudonym**, never a PatientID or a name: what is written there,
Airflow keeps. The Hounsfield page shows the pseudonym with each study.

| to | do |
|---|---|
| go on after a kill or a restart | clear the red task: it goes on where it was |
| let studies in that came after the approval | clear `plan`: a person is asked again |
| keep a patient from being erased | `hounsfield hold PATIENT_KEY --why MATTER` |
| read the certificate | `certify` logs where it is |

**Red `plan`, `approve` or `erase` with a legal hold**: the log names the hold and its reason;
nothing is deleted while it stands. **Red `erase` that another run holds something**: a move or
a scrub works on a product, or was killed at it; clear `erase` when it is done, or after two hours.
**Red `approve` that it was planned anew, or is done**: another run asked for the same patient, or an
update came while it waited; clear `plan`: a person then sees what there is now. **Red `approve`
that another person has decided**: what the first said stands. **Red `erase` that
names a tier**: a move that was not finished may have left some of the patient in it; put the tier
back into `configs/tiers.yaml`, then clear `erase`. **Skipped `erase`**: a person rejected it.
**Red `erase` with an object lock**: the store itself keeps versions of what the log names, till the
date there; all else is deleted. Clear `erase` after that date, or trigger a new run then: no
certificate says before that it is gone.
**Red `certify`**: something is left; see that no run works on these studies, then clear `erase`.
"""

_WHY = (
    "the patient asks for it (GDPR Article 17)",
    "the patient withdrew the consent",
    "the data were sent to us by mistake",
    "a court or an authority orders it",
)
_WHO = (
    "the patient",
    "a guardian or relative",
    "the data protection officer",
    "the ethics committee",
    "a court or an authority",
)

with DAG(
    dag_id="erase_patient",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    params={
        "patient": Param(
            "",
            type="string",
            pattern=r"^([a-z]{2}-[a-z2-7]{16})?$",
            title="Patient",
            description="The pseudonym, as pt-w2m6x7k4d3qz5vna. Never a PatientID or a name.",
        ),
        "why": Param(
            _WHY[0],
            type="string",
            enum=list(_WHY),
            title="Why",
            description="Goes into the audit trail and the certificate.",
        ),
        "requested_by": Param(
            _WHO[0],
            type="string",
            enum=list(_WHO),
            title="Requested by",
            description="By role, never by name.",
        ),
    },
    tags=["compliance"],
    doc_md=DOC,
):
    (
        PlanErasureOperator(task_id="plan")
        >> ApproveErasureOperator(task_id="approve")
        >> EraseOperator(task_id="erase")
        >> CertifyErasureOperator(task_id="certify")
    )
