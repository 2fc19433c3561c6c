"""Made-up people of many scripts, and the ways in which texts tell of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

__all__ = ["NAMES", "Identity", "Plant", "draw_identity", "plants"]

# (character set of an old installation, or UTF-8 alone; names as PN values)
NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ISO_IR 100", ("Hand^May", "Brown^Lung", "Long^Rose", "Head^Karl", "Stone^Crystal")),
    ("ISO_IR 100", ("Bone^Richard", "Short^Will", "Day^Iris", "Young^Art", "Foot^Grace")),
    ("ISO_IR 100", ("Smythe-Owens^Mary-Ann", "Suharto", "O'Brien^Patrick", "van der Berg^Jan")),
    ("ISO_IR 100", ("Müller-Lüdenscheidt^Jürgen", "Ibáñez^Begoña^María", "Lefèvre^Jean-Luc^^M.")),
    (
        "ISO_IR 100",
        ("WILLIAMS^ROBERT^J^DR", "Johnson^Emily", "Garcia Lopez^Jose", "Nguyen^Van Hung"),
    ),
    ("ISO_IR 192", ("Świątek^Łukasz", "Yılmaz^Ayşe", "Dvořáková^Žofie", "Nguyễn^Văn Hùng")),
    ("ISO_IR 144", ("Ковальчук^Олена", "Петров^Иван^Сергеевич", "Соколова^Мария")),
    ("ISO_IR 126", ("Παπαδόπουλος^Γεώργιος", "Νικολάου^Ελένη")),
    ("ISO_IR 127", ("الأحمد^محمد", "منصور^فاطمة")),
    ("ISO_IR 138", ("כהן^יעל", "בן-דוד^משה")),
    (
        "\\ISO 2022 IR 87",
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Satou^Hanako=佐藤^花子=さとう^はなこ"),
    ),
    ("\\ISO 2022 IR 149", ("Hong^Gildong=洪^吉洞=홍^길동", "Kim^Minsu=金^民秀=김^민수")),
    ("GB18030", ("Wang^XiaoDong=王^小东", "Li^Lei=李^雷")),
    ("ISO_IR 192", ("Chen^Wei-Ting=陳^威廷", "Sharma^Priya", "ใจดี^สมชาย")),
)
_DOCTORS = ("Brackenbury^Ivo", "House^Gregory", "Strange^Stephen", "Okonkwo^Adaeze", "Weiß^Anke")
_OPERATORS = ("Pfeiffer^Uwe", "Takahashi^Yui", "Rossi^Giulia", "Park^Jisoo")
_STRANGERS = (
    "Rosalind Franklin",
    "Hedwig Kowalski",
    "Tomás Herrera",
    "Adanna Obi",
    "Greta Lindqvist",
)
_PLACES = (
    "St. Odile Infirmary",
    "Klinikum Musterstadt",
    "Mercy General Hospital",
    "Hôpital Brizemont",
)
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905
_AYLAR = "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık".split()  # noqa: SIM905


@dataclass(frozen=True)
class Identity:
    """Everything planted about one patient."""

    name: str
    charset: str
    patient_id: str
    issuer: str
    accession: str
    birth: date
    study: date
    phone: str
    doctor: str
    operator: str
    stranger: str
    place: str
    age: str

    @property
    def script(self) -> str:
        """The component group that is written as the script is: the last but phonetic one."""
        groups = self.name.split("=")
        return groups[1] if len(groups) > 1 else groups[0]


@dataclass(frozen=True)
class Plant:
    """A text with an identity in it, and the tokens that must not be left of it."""

    text: str
    tokens: tuple[str, ...]


def draw_identity(rng: Random, study: date) -> Identity:
    charset, names = rng.choice(NAMES)
    number = rng.randrange(10**6, 10**7)
    age = rng.choice((4, 31, 47, 58, 66, 79, 88, 91, 97))
    return Identity(
        name=rng.choice(names),
        charset=charset,
        patient_id=rng.choice(
            (f"{number}", f"MRN-{number % 10**6:06}", f"P{number}X", f"KV {number}")
        ),
        issuer=rng.choice(("", "HOSP-A", "RIS7")),
        accession=f"{rng.choice(('ACC', 'A', 'RAD'))}{rng.randrange(10**5, 10**6)}",
        birth=study - timedelta(days=age * 365 + rng.randrange(20, 340)),
        study=study,
        phone=f"({rng.randrange(201, 990)}) 555-{rng.randrange(1000, 9999)}",
        doctor=rng.choice(_DOCTORS),
        operator=rng.choice(_OPERATORS),
        stranger=rng.choice(_STRANGERS),
        place=rng.choice(_PLACES),
        age=f"{age:03}Y",
    )


def tokens(name: str) -> tuple[str, ...]:
    """The parts of a name but particles and initials."""
    parts = re.split(r"[\s^=,.\-']+", name)
    particles = {"van", "der", "dr", "m", "j", "o"}
    return tuple(part for part in parts if len(part) > 1 and part.casefold() not in particles) or (
        tuple(part for part in parts if part and part.casefold() not in particles)
    )


def plants(identity: Identity, rng: Random) -> Plant:
    """One way of telling who it is."""
    return rng.choice((_of_name, _of_name, _of_date, _of_number, _of_another))(identity, rng)


def _of_name(identity: Identity, rng: Random) -> Plant:
    family, _, given = identity.script.partition("^")
    given = given.split("^")[0]
    if not family.isascii() and family.upper() == family.lower():
        form = rng.choice((f"{family}{given}", f"{family} {given}", family + given + "様"))
        return (
            Plant(form, (family, given)) if len(family) + len(given) > 2 else Plant(form, (form,))
        )
    forms = (
        f"{given} {family}",
        f"{family}, {given}",
        f"{family}^{given}",
        f"{family} {given}".upper(),
        f"{family}_{given}",
        f"Mr. {family}",
        f"pt {given} {family}",
    )
    form = rng.choice(forms)
    told = tokens(f"{family} {given}") if given in form or given.upper() in form else tokens(family)
    return Plant(form, told)


def _of_date(identity: Identity, rng: Random) -> Plant:
    day = rng.choice((identity.birth, identity.study))
    month = _MONTHS[day.month - 1]
    form = rng.choice(
        (
            f"{day:%Y%m%d}",
            f"{day:%Y-%m-%d}",
            f"{day.month}/{day.day}/{day.year}",
            f"{day:%d.%m.%Y}",
            f"{day.day} {month} {day.year}",
            f"{month} {day.day}, {day.year}",
            f"{day:%d}-{month.upper()}-{day:%y}",
            f"DOB {day:%m/%d/%y}",
            f"{day.year}年{day.month}月{day.day}日",
            f"{day:%Y/%m/%d}",
            f"{day:%d%m%Y}",
            f"{day.day}. {month} {day.year}",
            f"{day.day}th of {month} {day.year}",
            f"{day:%y/%m/%d}",
            f"{day:%d–%m–%Y}",
            f"{day.day} {_AYLAR[day.month - 1]} {day.year}",
        )
    )
    writes = {"GB18030", "ISO_IR 192", "\\ISO 2022 IR 87" if "年" in form else ""}
    if not form.isascii() and identity.charset not in writes:
        form = f"{day:%Y-%m-%d}"
    year = (str(day.year),) if str(day.year) in form else ()
    return Plant(form, (form.removeprefix("DOB "), *year))


def _of_number(identity: Identity, rng: Random) -> Plant:
    plain = identity.patient_id
    form = rng.choice(
        (plain, f"MRN {plain}", f"ID:{plain}", f"#{plain}", identity.accession, identity.phone)
    )
    if form == identity.accession:
        return Plant(form, (identity.accession,))
    if form == identity.phone:
        return Plant(form, (identity.phone, identity.phone[-8:]))
    return Plant(form, (plain,))


def _of_another(identity: Identity, rng: Random) -> Plant:
    doctor = identity.doctor.split("^")[0]
    family, given = identity.operator.split("^")
    form, told = rng.choice(
        (
            (f"per Dr. {doctor}", tokens(doctor)),
            (f"ref {identity.doctor.replace('^', ' ')}", tokens(identity.doctor)),
            (f"{given} {family}", (given, family)),
            (identity.stranger, tokens(identity.stranger)),
            (f"cc {identity.stranger}", tokens(identity.stranger)),
            (identity.place, (identity.place,)),
        )
    )
    return Plant(form, told)
