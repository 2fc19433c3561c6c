from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.deid import KnownIdentifiers
from hounsfield.deid.text import TextCleaner

KNOWN = KnownIdentifiers(
    names=frozenset(
        {
            "Smythe-Owens^Mary Ann^^Dr",
            "Head^Karl",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "Ковальчук^Олена",
            "Li^Wu",
            "Vantreek^Jo",
        }
    ),
    identifiers=frozenset({"MRN-4711", "1", "98765"}),
    places=frozenset({"St. Odile Infirmary"}),
    dates=frozenset({"19560304"}),
)
CLEANER = TextCleaner(KNOWN)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("CT Head w/o contrast", "CT Head w/o contrast"),
        ("CT Head Karl 3/4/56", "CT"),
        ("Mary Ann thorax 1.25mm", "thorax 1.25mm"),
        ("MSMYTHE knee, owensm", "knee"),
        ("1956-Mar-04 1956:03:04 knee", "knee"),
        ("SMYTHE_T1_MPRAGE", "T1_MPRAGE"),
        ("OwensMary knee", "knee"),
        ("山田太郎 胸部", "胸部"),
        ("КОВАЛЬЧУК грудная клетка", "грудная клетка"),
        ("WuLi", ""),
        ("kowal chuk Vantreek, VAN TREEK, Van\r\nTreek; V.a.n-t_r e e k knee", "kowal chuk ; knee"),
        ("Vant reeky knee, van treekx", "Vant reeky knee, van treekx"),
        ("Smy\u00adthe knee, Ow\u200bens", "knee"),  # signs that nobody sees
        ("Smy\x07the knee", ""),  # nobody's text is parted so, unless to hide who it is
        ("MRN-4\x01711 knee", ""),
        ("knee\x07Karl Head\0abdomen", ""),
        ("knee\x96abdomen\0", "knee\x96abdomen\0"),
        ("mrn-4711 abdomen", "abdomen"),
        ("id98765", "id"),
        ("CT98765HEAD 987651 198765", "CT HEAD 987651 198765"),
        ("knee 4/3, 04/03, geb. 04.03.", "knee 4/3, , geb."),
        ("knee, Mar 4", "knee"),
        ("4. März, lumbar 4, mare 4, 4 marks", "lumbar 4, mare 4, 4 marks"),
        ("knee \x1b$B;3ED\x1b(B", "knee"),  # of a character set that was not named
        ("98765_abdomen", "abdomen"),
        ("St Odile Infirmary protocol", "protocol"),
        ("4.3.1956", ""),
        ("knee 4-III-56, 04.iii.1956, 1956-064, S31.3.4, March the 4th 1956", "knee"),
        *((same, same) for same in ("4-II-56", "1956-065", "S31.3.5", "MS31.3.4")),
        ("04 Mar 1956 follow-up", "follow-up"),
        ("March 4, 1956 scan", "scan"),
        ("19560304 scan", "scan"),
        ("scan 4. 3. 1956, 4 / 3 / 1956, 1956 - 03 - 04", "scan"),
        ("1 x 1 mm", "1 x 1 mm"),
        ("Head Karl µ-map 5 µm ½", "µ-map 5 µm ½"),  # signs that ISO 8859-1 has
        ("ｋｎｅｅ ４７１１ ＭＲＮ-４７１１", "knee 4711"),
    ],
)
def test_what_is_known_goes_and_the_rest_stays(text: str, left: str) -> None:
    assert CLEANER.known(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("AX T1 SE 20190304", "AX T1 SE"),
        ("seen 12/31/2019, call 555-123-4567", "seen , call"),
        ("Dr. House please", "please"),
        ("mail a.b@clinic.example.org", "mail"),
        ("MRN 12345 knee", "knee"),
        ("aged 93 y/o male", "aged male"),
        ("aged 95, age: 97, Age = 101, age 095Y", ""),
        ("female, 095Y, Alter: 94, 95-jährige, 92 Jahre", "female"),
        ("aged 89 image 95 90Y", "aged 89 image 95 90Y"),  # yttrium
        ("CT 1931-Apr-07 knee 1931 APR 7, 07APR1931", "CT knee"),
        ("CT Thorax 5.3.23, 12.3.23", "CT Thorax"),
        ("CT 2024:02:29 head", "CT head"),
        ("knee 01 42 34 56 78, 06221/56 12 34", "knee"),
        ("CPR 070431-1234 knee", "CPR knee"),
        ("1 31 04 75 123 456 78 knee RSSMRA85M01H501U", "knee"),
        ("CT 93Y F", "CT F"),
        ("CT 93/F, 93 ans, 95 años, 93歳, 94 лет", "CT"),
        ("CT 94F, 94 F, 94M, 94yM, 94 yoF, 92j, 92 J, F94 M101", "CT"),
        ("knee of 94F.", "knee of ."),
        ("89F 90Y 90f TC 99M MDP, TC-99M, 99M-Tc, Tc-99m, F-18 F18 B90f 1.94 F 94 FS", None),
        ("knee in her 90s, his late 90's", "knee in"),
        ("CT born 1931, *1931, Jg. 1929, b. 1930", "CT"),
        ("CT 29.II.2024, 07-IV-1931, 29/02/2567", "CT"),
        ("b 1950 30/60/90 kV", "b 1950 30/60/90 kV"),
        ("MR BRAIN W/O", "MR BRAIN W/O"),
        ("MS lesions", "MS lesions"),
        ("DR CHEST PA", "DR CHEST PA"),
        ("3D pCASL; LGE PSIR; Lungenfenster, Schädel portalvenös", None),
        ("T2w FSE 2.3.4 512x512 TE 100", "T2w FSE 2.3.4 512x512 TE 100"),
        ("Lung 1.25mm B70f", "Lung 1.25mm B70f"),
        ("ninety-six year old female, a ninety-year-old, aged ninety-one", "female, a"),
        ("patient is 93, pt is now 95 with cough; patient aged over 96", "with cough; patient"),
        ("patient is 95 min p.i., pt was 95 days post", None),
        ("patient is 93 kg, pt was 94.5 kg, flip ninety degrees, patient is 95% free", None),
        ("call 555-0137, tel. 5550137, pager 4711, ext. 4711 knee", "knee"),
        ("ext 120 flex 30, call 2, tel 5 cm", "ext 120 flex 30, call 2, 5 cm"),
        ("EXT 120 30 90, ext 256 256", None),
        ("seen 12.3. 2019, 12 / 3 / 2019, 2019 - 03 - 12, 12-3- 2019", "seen"),
        ("MRN is 4711, MR# 4711, Patient 4711, case 4711-B, #4711, Pat.-Nr. 4711 knee", "knee"),
        ("患者番号4711, 病历号：4711 knee", "knee"),
        ("病历号:4711头颅CT256, 番号 3", "头颅CT256, 3"),
        ("#3 T2, iPAT 2, phase 2000, 13 / 25 / 2000", None),
        ("v1.2.10 120 kV 256 256 128", "v1.2.10 120 kV 256 256 128"),
        ("Thorax 5.0 x 3.0 March be repeated", "Thorax 5.0 x 3.0 be repeated"),
    ],
)
def test_descriptors_lose_identities_and_keep_the_protocol(text: str, left: str | None) -> None:
    assert TextCleaner(KnownIdentifiers()).descriptor(text) == (text if left is None else left)


DAYS = TextCleaner(
    KnownIdentifiers(dates=frozenset({"19310312", "20260114"}), identifiers=frozenset({"740913"}))
)


@pytest.mark.parametrize(
    "written",
    [
        # With signs that ASCII has another for.
        *("14–01–2026", "1931–03–12", "2026\u201101\u201114", "12\u221203\u22121931", "14·01·2026"),
        *("740–913", "14∕01∕2026", "١٤؍٠١؍٢٠٢٦"),
        # In other languages.
        *("14 Ιανουαρίου 2026", "14 ΙΑΝΟΥΑΡΙΟΥ", "14 يناير 2026", "14 كانون الثاني 2026"),
        *("14 בינואר 2026", "14 Ocak 2026", "12 MART 1931", "12 martie 1931", "1931. március 12"),
        *("12. ožujka 1931", "12. marts 1931", "14 มกราคม 2569", "14 tháng 1 năm 2026"),
        *("12 de marzo del 1931", "12 березня", "12. Márc."),
        # In parts, or in another order.
        *("12th of March 1931", "31/03/12", "1931-03", "2026/01", "03/31", "marzo de 1931"),
    ],
)
def test_a_day_goes_as_people_write_it(written: str) -> None:
    assert DAYS.known(f"knee {written}").rstrip(" .") == "knee"


@pytest.mark.parametrize(
    "text",
    [
        *("slice 1/14", "2026-01-15, 1931-03-13", "13 Mart 1930", "12 травма", "v2026.01"),
        *("T1–T2 5·10⁶", "1 of 14", "1 листопада", "0.3/31", "31-03-122"),
    ],
)
def test_what_is_another_day_or_none_stays(text: str) -> None:
    assert DAYS.known(text) == text


@pytest.mark.parametrize(
    "written",
    ["4 Ιουλίου 1950", "4 تموز 1950", "4 ביולי 1950", "4 Temmuz 1950", "12th of July 1950"],
)
def test_any_day_goes_from_a_descriptor(written: str) -> None:
    assert TextCleaner(KnownIdentifiers()).descriptor(f"knee {written}") == "knee"


SHORT = TextCleaner(
    KnownIdentifiers(
        identifiers=frozenset({"731", "A42", "CT-1", "12", "ABC"}), devices=frozenset({"MR1"})
    )
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("CT head 731 A42", "CT head"),
        ("CT head, a42/731", "CT head"),
        ("CT-1 head", "head"),
        ("CT 1.25mm 7310 731a A421 12 mm", "CT 1.25mm 7310 731a A421 12 mm"),
        ("MR1 120 kV ABC", "MR1 120 kV ABC"),  # a room, another number, a word
    ],
)
def test_an_identifier_of_three_letters_goes_where_it_stands_by_itself(
    text: str, left: str
) -> None:
    assert SHORT.known(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("P-12-3456 knee", "knee"),
        ("knee P 123.456", "knee"),
        ("knee P_123/456", "knee"),
        ("mrn 47 11 knee", "knee"),
        ("MRN_4711 knee", "knee"),
        ("P-12-34567 knee 98 765", "P-12-34567 knee 98 765"),
    ],
)
def test_an_identifier_goes_in_groups_as_people_write_it(text: str, left: str) -> None:
    known = KnownIdentifiers(identifiers=frozenset({"P123456", "MRN-4711", "98765"}))
    assert TextCleaner(known).known(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see 740913, 740-913", "see"),
        ("knee 12345", "knee"),
        ("knee 0012345", "knee"),
        ("knee 123456 7409", "knee 123456 7409"),
    ],
)
def test_a_number_goes_without_what_stands_before_it(text: str, left: str) -> None:
    known = KnownIdentifiers(identifiers=frozenset({"H740913", "0012345"}))
    assert TextCleaner(known).known(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("CT of Mrs Vantreek 12.3.24", "CT of"),
        ("Entire lumbar vertebra, view by oblique projection", None),
        ("Person Observer Name", None),
        ("12 lead electrocardiogram", None),
    ],
)
def test_a_meaning_keeps_each_word_that_is_no_identity(text: str, left: str | None) -> None:
    assert TextCleaner(KnownIdentifiers()).meaning(text) == (text if left is None else left)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("O'Brien^Sean", "OBrien"),
        ("O'Brien^Sean", "O’Brien"),
        ("O'Brien^Sean", "BRIEN"),
        ("O’Brien^Sean", "o'brien"),
        ("D'Angelo^Sean", "D ANGELO"),
        ("Abu'l-Fadl^Ali", "abu’l"),
        ("van der Berg^Piet", "VANDERBERG"),
        ("De La Cruz^Ana", "delacruz"),
        ("Weiß^Ana", "Weiß"),
        ("Weiß^Ana", "WEIẞ"),
        ("Weiss^Ana", "weiß"),
        ("Strauß^Ana", "STRAUSS"),
        ("Mueller^Eva", "Müller"),
        ("Muller^Eva", "MÜLLER"),
        ("Lukaszewicz^Ola", "Łukaszewicz"),
        ("Soerensen^Bo", "Sørensen"),
        ("Đoković^Ana", "Djokovic"),
        ("Þórðarson^Jón", "THORDARSON"),
        ("Mayr (Hollerbach)^Eva", "Hollerbach"),
        ("Mayr/Hollerbach^Eva", "hollerbach"),
        ('Mayr^Robert "Bobbyjoe"', "Bobbyjoe"),
        ("Hollerbach2^Eva", "HOLLERBACH"),
        ("Li^Na", "Li Na"),
        ("Ng^Wei", "NG W"),
        ("Ng^Wei", "W. NG"),
        ("Ng^Wei", "NGW"),
        ("Pe^Tim", "PE T"),
        ("İpekçi^Ali", "İPEKÇİ"),
        ("İpekçi^Ali", "ipekçi"),
        ("Семёнов^Пётр", "Семенов"),
        ("Παπάς^Νίκος", "ΠΑΠΑΣ"),
        ("أحمد^علي", "احمد"),
        ("김^민수", "민수"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ヤマダ"),
        ("Yamada^Tarou=山田^太郎=ヤマダ^タロウ", "やまだ"),
        ("Yamada^Tarou=山田^太郎=ヤマダ^タロウ", "ﾔﾏﾀﾞ"),
    ],
)
def test_a_name_goes_as_others_spell_it(name: str, written: str) -> None:
    """In a text whose words all stay: of a descriptor most go as no words of medicine."""
    cleaner = TextCleaner(KnownIdentifiers(names=frozenset({name})))
    assert cleaner.known(f"fl3d {written}") == "fl3d"
    assert cleaner.known("fl3d l, O 2, d, cambrien") == "fl3d l, O 2, d, cambrien"


@pytest.mark.parametrize("name", ["李^雷", "Li^Lei=李^雷", "Li^Lei^A^B^C=李^雷", "雷^李"])
@pytest.mark.parametrize("written", ["李雷", "李 雷", "李^雷"])
def test_parts_of_one_ideograph_go_side_by_side(name: str, written: str) -> None:
    cleaner = TextCleaner(KnownIdentifiers(names=frozenset({name})))
    assert cleaner.known(f"Brain {written}") == "Brain"
    assert cleaner.known("李子 pit, 雷") == "李子 pit, 雷"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("Chester^Al", "CHEST ER port"), ("Armand^Jo", "arm and hand")),
        *(("Li^Na", "Linac 2"), ("Ma^Tom", "SOMATOM X"), ("Le^An", "Clean")),
        *(("Pe^Tim", "PET, 12 pe_t2"), ("Ma^Tom", "200 mA T2")),
    ],
)
def test_words_of_the_examination_are_no_name_in_parts(name: str, text: str) -> None:
    assert TextCleaner(KnownIdentifiers(names=frozenset({name}))).known(text) == text


@pytest.mark.parametrize("part", ["a", "a1_", "Abc ", "1 ", "a@", "番号", "9."])
def test_no_text_takes_long(part: str) -> None:
    """Of letters alone 20,000 took seconds, and of those there may be any number."""
    began = time.process_time()
    TextCleaner(KNOWN).prose(part * (40_000 // len(part)))
    assert time.process_time() - began < 3


def test_full_dates_stay_where_the_profile_retains_them() -> None:
    cleaner = TextCleaner(KNOWN, keep_dates=True)
    assert cleaner.descriptor("AX 2019-03-04") == "AX 2019-03-04"


@given(
    family=st.text("abcdefghijklmnopqrstuvwxyz", min_size=6, max_size=12),
    around=st.text(" abcdefgh123_-", max_size=10),
)
def test_a_long_family_name_is_found_in_any_surroundings(family: str, around: str) -> None:
    cleaner = TextCleaner(KnownIdentifiers(names=frozenset({f"{family}^Zz"})))
    from hounsfield.deid.vocabulary import NO_NAMES, VOCABULARY

    if family not in VOCABULARY | NO_NAMES:
        assert family not in cleaner.known(f"{around}{family.upper()}{around}").lower()


@given(st.text(st.characters(exclude_characters="\x1b"), max_size=60))
def test_nothing_known_changes_nothing(text: str) -> None:
    assert TextCleaner(KnownIdentifiers()).known(text) == text
