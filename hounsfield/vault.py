"""The vault: the crosswalk between pseudonyms and identities, apart from the catalog.

Identities are encrypted under a subkey of the project key, so a copy of the database alone
tells nobody who anybody is. Only ``ingest``, de-identification, writeback, erasure, a legal hold
on a patient and ``reprocess`` (which asks for keys by date, and gets keys) open it, and every
opening is an audit event.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Engine, String, Text, delete, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hounsfield.audit import AuditLog
from hounsfield.errors import IntegrityError, NotFound
from hounsfield.records import RunContext

__all__ = ["Identity", "Vault", "VaultBase"]


class VaultBase(DeclarativeBase):
    pass


class VaultStudy(VaultBase):
    """One study's identity; only the keys and the date can be searched."""

    __tablename__ = "vault_studies"

    study_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    patient_key: Mapped[str] = mapped_column(String(64), index=True)
    study_date: Mapped[str] = mapped_column(String(8), index=True)
    source: Mapped[str] = mapped_column(String(255))
    identity: Mapped[str] = mapped_column(Text)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a study belongs to. PHI: never logged, never passed on; its repr tells nothing."""

    StudyInstanceUID: str
    PatientID: str
    IssuerOfPatientID: str
    StudyDate: str
    source: str

    def __repr__(self) -> str:
        return "Identity(…)"


def _searchable(study_date: str) -> str:
    """Eight digits, as ranges are compared; empty where it is no date.

    That of ACR-NEMA has dots (PS3.5 Section 6.2), and a PACS lists what its modalities wrote:
    anything else would not fit into the column, and PostgreSQL would refuse the study.
    """
    digits = study_date.replace(".", "")
    return digits if re.fullmatch(r"[0-9]{8}", digits) else ""


def _fernet(key: bytes) -> Fernet:
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"hounsfield/vault/v1")
    return Fernet(base64.urlsafe_b64encode(hkdf.derive(key)))


class Vault:
    """Puts identities in, and gives them out for a stated purpose.

    Parameters
    ----------
    engine
        Of the vault's own database.
    key
        The project key, 32 bytes; the vault derives its own subkey.
    audit
        Where each opening is written before anything is given out.
    older
        Keys of before a rotation: what went in under one still comes out.
    """

    def __init__(
        self, engine: Engine, key: bytes, audit: AuditLog, older: Iterable[bytes] = ()
    ) -> None:
        self._fernet = MultiFernet([_fernet(one) for one in (key, *older)])
        self._engine = engine
        self._audit = audit

    def put(self, study_key: str, patient_key: str, identity: Identity, *, run: RunContext) -> None:
        """Writes or replaces the identity of a study."""
        self._audit.append(action="vault.put", object=study_key, purpose="ingest", run=run)
        token = self._fernet.encrypt(json.dumps(asdict(identity)).encode()).decode()
        with Session(self._engine) as session, session.begin():
            session.merge(
                VaultStudy(
                    study_key=study_key,
                    patient_key=patient_key,
                    study_date=_searchable(identity.StudyDate),
                    source=identity.source,
                    identity=token,
                )
            )

    def knows(self, study_key: str) -> bool:
        """Whether there is an entry; tells nothing of whom, so it is no access to PHI."""
        with Session(self._engine.execution_options(readonly=True)) as session:
            return session.get(VaultStudy, study_key) is not None

    def source_of(self, study_key: str) -> str:
        """Which source a study came from first; empty where there is no entry."""
        with Session(self._engine.execution_options(readonly=True)) as session:
            row = session.get(VaultStudy, study_key)
            return row.source if row is not None else ""

    def open(self, study_key: str, *, purpose: str, run: RunContext) -> Identity:
        """Who the study belongs to.

        Raises
        ------
        NotFound
            If the vault does not know the study.
        IntegrityError
            If the entry was made under another key, or was tampered with.
        """
        self._audit.append(action="vault.open", object=study_key, purpose=purpose, run=run)
        with Session(self._engine) as session:
            row = session.get(VaultStudy, study_key)
        if row is None:
            raise NotFound("the vault does not know this study", where=study_key)
        try:
            return Identity(**json.loads(self._fernet.decrypt(row.identity.encode())))
        except InvalidToken:
            raise IntegrityError(
                "the vault's entry does not open with this project key",
                where=study_key,
                remedy="use the key version that the study was ingested with",
            ) from None

    def studies_of(self, patient_keys: Collection[str]) -> Sequence[str]:
        """Study keys of these patients; tells nothing of who they are."""
        query = select(VaultStudy.study_key).where(VaultStudy.patient_key.in_(patient_keys))
        with Session(self._engine.execution_options(readonly=True)) as session:
            return sorted(session.scalars(query))

    def forget(self, study_key: str, *, purpose: str, run: RunContext) -> None:
        """Removes whose study it is; after that nobody can tell."""
        if not self.knows(study_key):
            return
        self._audit.append(action="vault.forget", object=study_key, purpose=purpose, run=run)
        with Session(self._engine) as session, session.begin():
            session.execute(delete(VaultStudy).where(VaultStudy.study_key == study_key))

    def keys_between(
        self, first: str, last: str, *, purpose: str, run: RunContext
    ) -> Sequence[str]:
        """Study keys with a StudyDate from `first` to `last` (DA values, inclusive)."""
        self._audit.append(action="vault.window", object="studies", purpose=purpose, run=run)
        query = select(VaultStudy.study_key).where(VaultStudy.study_date.between(first, last))
        with Session(self._engine) as session:
            return sorted(session.scalars(query))
