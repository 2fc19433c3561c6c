"""Keyed pseudonyms: the one place where an identity becomes something else.

One 256-bit project key, kept outside the repository and every database, gives one subkey
per purpose by HKDF (RFC 5869). Without the key a pseudonym cannot be tried against a list
of patients, and two projects cannot be joined.

Keys have versions, and several may be known at once. After a rotation new studies come under
the newest; a study that is here keeps the version that its key was made with, and so does
whatever is derived from it, so that nothing that was released changes its name. To bring old
studies under the new key, take the old one out of the key file and run ``reprocess``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hounsfield.errors import ConfigError, DeidentificationError

__all__ = [
    "KEY_BYTES",
    "KeyRing",
    "Pseudonyms",
    "load_key",
    "load_keys",
    "rotate_key",
    "without_key",
]

KEY_BYTES = 32
#: The longest shift, in days: ten years back hides the year and keeps devices plausible.
MAX_SHIFT_DAYS = 3652

# ASCII alone: other scripts' digits are no DA or DT (PS3.5 Section 6.2).
_DATE = re.compile(r"\d{8}", re.ASCII)
_DATETIME = re.compile(
    r"(\d{4})(\d{2})?(\d{2})?(\d{2}\d{0,2}\d{0,2}(?:\.\d{1,6})?)?([+-]\d{4})?", re.ASCII
)


class Pseudonyms:
    """Pseudonyms of one project.

    Parameters
    ----------
    key
        The project key, 32 bytes.
    project
        Its name enters the derivation, so that one key file copied to a second project
        still gives other pseudonyms there.
    version
        Version of the key; written into every product, so that a rotation shows.

    Raises
    ------
    ConfigError
        If the key has another length.
    """

    def __init__(self, key: bytes, *, project: str = "default", version: int = 1) -> None:
        _check_length(key)
        self.project = project
        self.version = version
        self._key = key

    def uid(self, uid: str) -> str:
        """The new UID: ``2.25.`` and a UUID as an integer (PS3.5 Annex B.2), 44 characters at most.

        Equal UIDs give equal pseudonyms, so references stay whole across files and studies.
        """
        raw = bytearray(hmac.digest(self._uid_key, uid.strip(" \0").encode(), "sha256")[:16])
        raw[6] = (raw[6] & 0x0F) | 0x80  # UUID version 8 (RFC 9562)
        raw[8] = (raw[8] & 0x3F) | 0x80
        return f"2.25.{int.from_bytes(raw, 'big')}"

    def study_key(self, study_instance_uid: str) -> str:
        """The partition key of a study, such as ``st-k3v7c2m5x4qapz6b``."""
        return self._short("st", study_instance_uid)

    def series_key(self, series_instance_uid: str) -> str:
        return self._short("se", series_instance_uid)

    def patient_key(self, patient_id: str, issuer: str = "") -> str:
        """The pseudonym of a patient; it also becomes the new PatientID."""
        return self._short("pt", _identity(patient_id, issuer))

    def text(self, purpose: str, value: str) -> str:
        """A keyed pseudonym of any other identifier, such as an accession number."""
        return self._short(purpose, value)

    def shift_days(self, patient_id: str, issuer: str = "") -> int:
        """Whole days to subtract from every date of this patient, 1 to 3652."""
        raw = hmac.digest(self._date_key, _identity(patient_id, issuer).encode(), "sha256")
        return 1 + int.from_bytes(raw[:8], "big") % MAX_SHIFT_DAYS

    def shift_date(self, value: str, days: int) -> str:
        """A DA value `days` earlier.

        Raises
        ------
        DeidentificationError
            If the value is not a date: what cannot be shifted must not be kept.
        """
        text = value.strip()
        if re.fullmatch(r"\d{4}\.\d{2}\.\d{2}", text):  # the form before DICOM 3 (PS3.5 6.2, DA)
            text = text.replace(".", "")
        if not _DATE.fullmatch(text):
            raise DeidentificationError("a DA value is not a date, so it cannot be shifted")
        return _shifted(text, days)

    def shift_datetime(self, value: str, days: int) -> str:
        """A DT value `days` earlier: time, fraction and zone stay, precision too.

        Raises
        ------
        DeidentificationError
            If the value is not a DT, or too coarse to be shifted by days without giving
            the offset away.
        """
        match = _DATETIME.fullmatch(value.strip())
        if match is None:
            raise DeidentificationError("a DT value is not a date-time, so it cannot be shifted")
        year, month, day, rest, zone = match.groups()
        if day is None:
            # Precision is kept: the middle of the named span is shifted, then cut again.
            shifted = _shifted(year + (month or "07") + "15", days)
            return shifted[: 6 if month else 4] + (zone or "")
        return _shifted(year + month + day, days) + (rest or "") + (zone or "")

    def _short(self, prefix: str, value: str) -> str:
        raw = hmac.digest(self._name_key, f"{prefix}\0{value.strip()}".encode(), "sha256")[:10]
        return f"{prefix}-{base64.b32encode(raw).decode().lower()}"

    @cached_property
    def _uid_key(self) -> bytes:
        return self._subkey("uid")

    @cached_property
    def _date_key(self) -> bytes:
        return self._subkey("date")

    @cached_property
    def _name_key(self) -> bytes:
        return self._subkey("name")

    def _subkey(self, purpose: str) -> bytes:
        info = f"hounsfield/{self.project}/v{self.version}/{purpose}".encode()
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._key)

    @property
    def fingerprint(self) -> str:
        """Names the key in products and certificates without telling it."""
        return hashlib.sha256(self._subkey("fingerprint")).hexdigest()[:16]


class KeyRing:
    """The pseudonyms of one project under every version of its key that is known.

    Parameters
    ----------
    keys
        By version.
    newest
        The version that new studies come under, one of them.

    Raises
    ------
    ConfigError
        If there is no such version, or a key has another length.
    """

    def __init__(self, keys: Mapping[int, bytes], *, project: str, newest: int) -> None:
        if newest not in keys:
            raise ConfigError(
                f"there is no project key of version {newest}",
                where="configs/site.yaml: key_version",
                remedy="make one with: hounsfield rotate-key",
            )
        self._all = {
            version: Pseudonyms(key, project=project, version=version)
            for version, key in keys.items()
        }
        older = sorted(set(keys) - {newest}, reverse=True)
        self._order = (newest, *older)

    @property
    def newest(self) -> Pseudonyms:
        return self._all[self._order[0]]

    def version(self, number: int) -> Pseudonyms:
        """The pseudonyms of one version, such as a certificate names.

        Raises
        ------
        ConfigError
            If that key is not known any more.
        """
        if number not in self._all:
            raise ConfigError(
                f"the project key of version {number} is not known",
                remedy="put it back into the key file",
            )
        return self._all[number]

    def of_study(self, study_instance_uid: str, knows: Callable[[str], bool]) -> Pseudonyms:
        """Those that a study is known under, else the newest.

        Parameters
        ----------
        knows
            Whether a study key has been given out, such as `Vault.knows`.
        """
        if len(self._all) == 1:
            return self.newest  # Most have had one key ever: nobody need be asked.
        known = self._first(lambda names: knows(names.study_key(study_instance_uid)))
        return known or self.newest

    def that_made(self, study_key: str, study_instance_uid: str) -> Pseudonyms:
        """Those under which a study has this key.

        Raises
        ------
        ConfigError
            If it has it under none that is known.
        """
        found = self._first(lambda names: names.study_key(study_instance_uid) == study_key)
        if found is None:
            raise ConfigError(
                "the study's key was made under a project key that is not known",
                where=study_key,
                remedy="put that project key back into the key file",
            )
        return found

    def patient_keys(self, patient_id: str, issuer: str = "") -> list[str]:
        """A patient's pseudonyms under each version, the newest first."""
        return [self._all[version].patient_key(patient_id, issuer) for version in self._order]

    def _first(self, fits: Callable[[Pseudonyms], bool]) -> Pseudonyms | None:
        return next((self._all[v] for v in self._order if fits(self._all[v])), None)


def load_keys(path: Path, *, version: int = 1) -> dict[int, bytes]:
    """Every known key by its version, from ``HOUNSFIELD_PROJECT_KEY``, else from a file.

    Either holds one key a line (in the variable, commas will do), as ``2:hexadecimal``. One
    without a number is of the version asked for in the variable, and of version 1 in the file.

    Parameters
    ----------
    version
        The newest, as configs/site.yaml names it.

    Raises
    ------
    ConfigError
        If neither gives keys of 32 bytes, each version once.
    """
    text = os.environ.get("HOUNSFIELD_PROJECT_KEY", "")
    if text:
        return _parse_keys(text, unnumbered=version)
    if not path.exists():
        raise ConfigError(
            "there is no project key",
            remedy="set HOUNSFIELD_PROJECT_KEY, or run hounsfield setup",
        )
    return _parse_keys(path.read_text(), unnumbered=1)


def load_key(path: Path, *, create: bool = True) -> bytes:
    """The project key of the highest version, as :func:`load_keys` finds it.

    Parameters
    ----------
    path
        Read where the variable is not set; made with a new random key, readable by its
        owner alone, where it does not exist and `create` is true.

    Raises
    ------
    ConfigError
        If neither gives a key of 32 bytes.
    """
    if create and not os.environ.get("HOUNSFIELD_PROJECT_KEY", "") and not path.exists():
        _write_new_key(path)
    keys = load_keys(path)
    return keys[max(keys)]


def without_key(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that makes no pseudonyms: all of `environ` but the keys."""
    return {name: value for name, value in environ.items() if name != "HOUNSFIELD_PROJECT_KEY"}


def rotate_key(path: Path) -> int:
    """Adds a new random key to the file; returns its version.

    New studies come under it once configs/site.yaml says so (``key_version``). The file is
    replaced as a whole, so a reader sees the keys of before or all of them.

    Raises
    ------
    ConfigError
        If the keys come from the environment, or the file has none.
    """
    if os.environ.get("HOUNSFIELD_PROJECT_KEY", ""):
        raise ConfigError(
            "the project key comes from HOUNSFIELD_PROJECT_KEY",
            remedy="add the new key there, as 2:hexadecimal",
        )
    keys = load_keys(path)
    version = max(keys) + 1
    lines = [f"{number}:{key.hex()}" for number, key in sorted(keys.items())]
    _write_draft(path, [*lines, f"{version}:{os.urandom(KEY_BYTES).hex()}"]).replace(path)
    return version


def _parse_keys(text: str, *, unnumbered: int) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    lines = [line.strip() for line in re.split(r"[\n,]", text) if line.strip()] or [""]
    for line in lines:
        number, _, digits = line.rpartition(":")
        try:
            version, key = int(number or unnumbered), bytes.fromhex(digits)
        except ValueError:
            raise ConfigError(
                "the project key is not hexadecimal", remedy="make one with: openssl rand -hex 32"
            ) from None
        _check_length(key)
        if version in keys:
            raise ConfigError(f"there are two project keys of version {version}")
        keys[version] = key
    return keys


def _check_length(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"the project key has {len(key)} bytes instead of {KEY_BYTES}",
            remedy="make one with: openssl rand -hex 32",
        )


def _write_new_key(path: Path) -> None:
    draft = _write_draft(path, [os.urandom(KEY_BYTES).hex()])
    try:
        os.link(draft, path)  # Fails where another process was first: its key stands.
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _write_draft(path: Path, lines: list[str]) -> Path:
    """A file beside `path`, for its owner alone."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the folder of the key file cannot be written: {error.strerror}",
            where="configs/site.yaml: key_file",
            remedy="HOUNSFIELD_HOME and HOUNSFIELD_KEY_FILE say where it is; where secrets come "
            "from elsewhere, add a line there: its version, a colon, and openssl rand -hex 32",
        ) from None
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{line}\n" for line in lines)
    return draft


def _identity(patient_id: str, issuer: str) -> str:
    return f"{issuer.strip()}\0{patient_id.strip()}"


def _shifted(text: str, days: int) -> str:
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:])) - timedelta(days=days)
        return f"{day.year:04}{day.month:02}{day.day:02}"
    except (ValueError, OverflowError):
        raise DeidentificationError(
            "a date is not in the calendar, so it cannot be shifted"
        ) from None
