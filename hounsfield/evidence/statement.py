"""The method statement of a project: what an ethics board asks, from the live configuration."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Final, Self

from pydicom.datadict import keyword_for_tag

from hounsfield.deid.explain import explain
from hounsfield.deid.plan import KEEP, Plan
from hounsfield.deid.profile import Profile
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.table import EDITION, all_rows, table_digest
from hounsfield.evidence.certificate import OCR_ENGINE
from hounsfield.gate import conformance
from hounsfield.provenance import code_version
from hounsfield.pseudonyms import KEY_BYTES, MAX_SHIFT_DAYS, Pseudonyms

__all__ = ["MethodStatement"]

# Switch → what it does when on, and when off.
_OPTIONS: Final[dict[str, tuple[str, str]]] = {
    "clean_descriptors": (
        "Descriptions and comments stay, cleaned as told under free text; among them the history, "
        "alerts and the occupation, which may tell of an illness.",
        "Descriptions and comments that the table names are removed.",
    ),
    "clean_structured_content": (
        "The content of structured reports is kept and cleaned.",
        "The content of structured reports is removed.",
    ),
    "clean_graphics": (
        "Graphic annotations are kept where they can be cleaned; overlays and curves go.",
        "Graphics, overlays and curves are removed.",
    ),
    "clean_pixel_data": (
        "Pixels are read for burned-in text, which is masked.",
        "Pixels are not looked at: text that is burned in stays, but in the regions that the "
        "site's recipe names.",
    ),
    "retain_modified_dates": (
        "Dates move back by one number of whole days a patient, so that intervals stay.",
        "Dates are not kept in a modified form.",
    ),
    "retain_full_dates": (
        "Dates stay as they are.",
        "No date stays as it was.",
    ),
    "retain_patient_characteristics": (
        "Age, sex, size and weight stay, and so do ethnic group, smoking, pregnancy and neutering; "
        "allergies, special needs, the patient's state and pre-medication stay, cleaned. These may "
        "tell of an illness. An age above 89 years is given as 90 where it is a number.",
        "Age, sex, size, weight and what else the table calls patient characteristics are removed.",
    ),
    "retain_device_identity": (
        "Serial numbers and names of devices stay.",
        "Serial numbers and names of devices are removed.",
    ),
    "retain_institution_identity": (
        "The institution stays.",
        "The institution and its address are removed.",
    ),
    "retain_uids": (
        "UIDs stay as they are.",
        "Every UID but those of classes, syntaxes and the Standard itself is replaced by a keyed "
        "one, the same wherever it occurs.",
    ),
    "retain_safe_private": (
        "Private elements of PS3.15 Table E.3.10-1 stay; all others are removed.",
        "All private elements are removed.",
    ),
}
# Switch → what is searched in text unless it is on.
_SEARCHED: Final = {
    "retain_full_dates": "dates in the usual forms",
    "retain_device_identity": "devices",
    "retain_institution_identity": "institutions",
}
_LIMITS: Final = (
    "A description may tell who somebody is without a name, a number or a date in it.",
    "Text that no reader of characters sees, such as handwriting or a bar code that is no QR code, "
    "may stay in a picture.",
    "Text in one slice or frame of a stack of CT, MR, PET or NM, darker than another there and "
    "brighter than a third, may stay. In a film such text may stay in any frame but the first, the "
    "middle and the last, if it runs up or down there, or stands out from its ground by less than "
    "a quarter of the film's range.",
    "A picture of fewer than 8 pixels along one side, or of fewer than 18 along both, is not read, "
    "and does not say of itself that no text is burned in.",
    "The values of a parametric map that are fractions (Float and Double Float Pixel Data) are "
    "measured, and are not looked at: text that somebody drew into them may stay.",
    "A day without its year that is written in single digits, such as 1/14, stays: it is a slice "
    "oftener than a day. A day that the headers do not have may stay where it is written in a rare "
    "form, such as by its number in the year.",
    "An age above 89 years may stay in a text where no word for years, or for whose it is, is "
    "beside it.",
    "In what is no free text, such as a code, a scan option, an ethnic group, a version of "
    "software, or the name of a model, a coil, an algorithm or a sequence, what is known of the "
    "patient and the study is looked for, and names with a title, and nothing else: the name of "
    "somebody whom no header names may stay there. A code with small letters is cleaned as a "
    "description is. In binary values other than numbers of 32 or 64 bits, the second look alone "
    "looks for what is known.",
    "The words beside a code of a standard, such as SNOMED CT, that PS3.16 does not list are not "
    "compared with that standard: the name of somebody whom no header names may stay there, too.",
    "A name that the headers have in one script alone is not known in another.",
    "What somebody encoded, such as a name in Base64 or in hexadecimal digits, is decoded nowhere: "
    "in what is no free text it may stay.",
    "A name of fewer than three characters is not searched in what is no free text, an identifier "
    "of fewer than three in no text, and one of fewer than five digits not in what is counted or "
    "measured.",
    "A stranger's name of words that the examination has, such as Karl Head, may stay.",
    "Patients are told apart by PatientID and IssuerOfPatientID as they are written: a study that "
    "never names the issuer and one that does are of two, and so are numbers with and without "
    "zeros before them.",
    "An object in which somebody may be heard, a waveform or a film, is refused, not cleaned.",
    "Who holds the project key can find the patient again: these data are pseudonymous, not "
    "anonymous, for that institution.",
)


@dataclass(frozen=True, slots=True)
class MethodStatement:
    """Sections of sentences, as Markdown or as a page.

    Attributes
    ----------
    sections
        (title, sentences); each sentence is a line of a list.
    """

    title: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(
        cls, project: str, profile: Profile, pseudonyms: Pseudonyms, *, deface: bool = False
    ) -> Self:
        """Of a project as it is configured now.

        Parameters
        ----------
        deface
            Whether faces are cut out of volumes.
        pseudonyms
            Name the key by version and fingerprint; what they tell is no secret.
        """
        return cls(
            f"How project {project} takes the patient out of its images",
            (
                ("The rules", _rules(profile)),
                ("The site's own rules", _of_site(profile)),
                ("What the profile keeps and removes", _by_option(profile)),
                ("Free text", _free_text(profile)),
                ("Pixels", _pixels(profile)),
                ("Pseudonyms and dates", _pseudonyms(pseudonyms, profile)),
                ("Keys", _keys(pseudonyms)),
                ("The release gate", _gate(profile)),
                ("Review by a person", _review()),
                ("Known limits", (_faces(deface), *_LIMITS)),
            ),
        )

    def to_markdown(self) -> str:
        parts = [f"# {self.title}\n"]
        for title, sentences in self.sections:
            parts.append(f"## {title}\n")
            parts.append("".join(f"- {sentence}\n" for sentence in sentences))
        return "\n".join(parts)

    def to_html(self) -> str:
        body = "".join(
            f"<h2>{escape(title)}</h2>\n<ul>\n"
            + "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
            + "</ul>\n"
            for title, sentences in self.sections
        )
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{escape(self.title)}</title>\n"
            "<style>body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; "
            "margin: 2rem auto; padding: 0 1rem; }</style>\n</head>\n<body>\n"
            f"<h1>{escape(self.title)}</h1>\n{body}</body>\n</html>\n"
        )


def _rules(profile: Profile) -> tuple[str, ...]:
    rows = all_rows().values()
    standard = sum(row.source.startswith("PS3.15") for row in rows)
    actions = Counter(row.basic for row in rows if row.source.startswith("PS3.15"))
    common = ", ".join(f"{code} {count}" for code, count in actions.most_common())
    return (
        f"DICOM PS3.15 Annex E, edition {EDITION}: Table E.1-1 with {standard} rows "
        f"({common}), and {len(rows) - standard} reviewed additions; digest "
        f"{table_digest()[:16]}.",
        f"Profile {profile.name}, digest {profile.digest[:16]}: "
        f"{profile.description or 'without a description'}.",
        f"Each object states it by its codes of PS3.16 CID 7050: {_codes(profile)}.",
        f"Engine {code_version('hounsfield.deid', 'hounsfield.dicom', 'hounsfield.pseudonyms')}.",
        "Every element is met by exactly one rule, at every depth of sequences and in the file "
        "meta information; what no table and no dictionary knows is removed.",
    )


def _of_site(profile: Profile) -> tuple[str, ...]:
    """Each line of the recipe, what may identify somebody before all others."""
    if not profile.recipe:
        return ("The site has no rules of its own.",)
    recipe, plan = Recipe.of(profile), Plan(profile)
    kept, others = [], []
    for tag in (*recipe.overrides, *recipe.additions):
        told = explain(tag, profile)
        verb = told.recipe.rpartition(": ")[2].split()[0]
        sentence = f"{verb} {keyword_for_tag(tag) or told.tag}: {told.outcome}."
        if verb == "KEEP" and plan.rule(tag).action != KEEP:
            kept.append(f"MAY IDENTIFY SOMEBODY: {sentence}")
        else:
            others.append(sentence)
    return (
        f"The recipe {profile.recipe} comes before the tables, at every depth; what it adds stands "
        "at the top level.",
        *kept,
        *others,
    )


def _codes(profile: Profile) -> str:
    told = (f"{code.value} {code.meaning}" for code in profile.codes(pixels_cleaned=True))
    where = "; 113101 only where its own pixels were looked at" if profile.clean_pixel_data else ""
    return ", ".join(told) + where


def _by_option(profile: Profile) -> tuple[str, ...]:
    return tuple(
        f"{switch.replace('_', ' ').capitalize()}: {'on' if on else 'off'}. {on_or_off[not on]}"
        for switch, on_or_off in _OPTIONS.items()
        for on in (bool(getattr(profile, switch)),)
    )


def _free_text(profile: Profile) -> tuple[str, ...]:
    searched = ["names and their parts", "numbers", "orders", "physicians"]
    searched += [what for switch, what in _SEARCHED.items() if not getattr(profile, switch)]
    return (
        f"What the headers of a study tell of its patient ({', '.join(searched)}) is searched in "
        "every text that is kept in that study.",
        "Of what is left in a text that is cleaned, whatever looks like a date, a number, an "
        "address or a name goes; of the other words, those of the examination stay, by a list, "
        "and all others go. In prose, words that are names too go unless written small.",
        "A name of the patient that is a word of the examination, such as Head or Long, stays "
        "where it stands alone, and goes beside another part of the name.",
    )


def _faces(deface: bool) -> str:
    if deface:
        return (
            "Faces are cut out of volumes whose headers say that they show a head; the released "
            "DICOM objects still have them."
        )
    return "A face can be rebuilt from a head scan."


def _pixels(profile: Profile) -> tuple[str, ...]:
    if not profile.clean_pixel_data:
        return (_OPTIONS["clean_pixel_data"][1],)
    return (
        f"Read by {OCR_ENGINE}, and QR codes; all text but markers of side and view is filled "
        "with its surroundings, and looked for again. What still reads as text then, a person "
        "judges before anything is released.",
        "A stack of more than eight CT, MR, PET or NM slices is read by the brightest and the "
        "darkest value of each pixel over the whole stack, every other picture, and each slice of "
        "8 bits, by itself.",
        "Of an object with several frames each is read, where there are few or they may be pages; "
        "of a longer film the first, the middle and the last. The brightest and the darkest value "
        "of each pixel over all frames are read, too; of a film that is no CT, MR, PET or NM also "
        "those over each scene, in which no place as large as a name changes by more than a "
        "quarter of the film's range.",
        "Pixels that cannot be decoded are refused. So are pixel data that hold more than the "
        "frames, and bits beside the stored values are cleared, since no picture shows either.",
        "What applications write into compressed frames beside the picture (comments, a camera's "
        "data, thumbnails) is blanked; a frame that cannot be searched for it is refused.",
        "Pixels without text keep their exact bytes; changed ones stay in a lossless syntax.",
        "Regions that are known to bear text for a device are masked whatever they show.",
    )


def _pseudonyms(pseudonyms: Pseudonyms, profile: Profile) -> tuple[str, ...]:
    keyed = "Patient and study pseudonyms" + ("" if profile.retain_uids else ", and UIDs,")
    told = (
        f"{keyed} are keyed (HMAC-SHA256): without the key nobody can try a list of patients "
        "against them.",
        f"They belong to project {pseudonyms.project}: another project gives other ones.",
        "The table that leads back is kept apart from all else, encrypted, and each opening is "
        "an entry of the audit trail.",
    )
    if profile.retain_modified_dates:
        days = f"A patient's dates move back by 1 to {MAX_SHIFT_DAYS} days; times of day stay."
        return (*told, days)
    return told


def _keys(pseudonyms: Pseudonyms) -> tuple[str, ...]:
    return (
        f"One project key of {KEY_BYTES * 8} bits, outside repository and databases; subkeys by "
        "HKDF for each purpose.",
        f"Key version {pseudonyms.version}, fingerprint {pseudonyms.fingerprint}; both are in "
        "each certificate, and in the manifest of what it certifies.",
        "A rotation adds a key: new studies come under it, and what is here keeps its pseudonyms, "
        "which the older keys still lead back from. A patient with studies of both has two.",
    )


def _gate(profile: Profile) -> tuple[str, ...]:
    tool = conformance.program() is not None
    return (
        "De-identified objects stay in the protected zone until a second look has let them "
        "pass; models see the released ones alone.",
        "The gate reads the raw files with a reader of its own, and looks for what it gathers "
        "there (names, numbers, dates, UIDs, institutions, devices, as the profile says) in "
        "every element, in the file meta information, in private elements and in bytes, in "
        "every usual character set.",
        "It reads the pixels of the output for text once more, other frames of a film and runs of "
        "16 in place of scenes, with the reader of text that cleaned them too; tables and lists of "
        "words are the same as well. "
        "How an object is looked at, the cleaner's own function tells it, of the input and of the "
        "output: it takes the stricter way."
        if profile.clean_pixel_data
        else "It does not read pixels, since the profile does not clean them.",
        "It holds each object to what PS3.15 Section E.1.1 asks it to say of itself.",
        "dciodvfy judges one object of each series, SOP class and structure (which elements it "
        "has, and which are empty): no error that its input did not have."
        if tool
        else "dciodvfy is not installed here, so conformance is not judged.",
        f"Gate {code_version('hounsfield.gate')}.",
    )


def _review() -> tuple[str, ...]:
    return (
        "A study that the gate is in doubt about, or in which the cleaner could not mask text "
        "away, is shown to a person, by its pseudonym, with the findings and the pictures before "
        "and after.",
        "That person releases it, has more masked (and the gate looks again) or rejects it; who "
        "decided, and why, stands in the audit trail and in the certificate.",
        "Looking at a review is an access to personal data, and is written down as one.",
    )
