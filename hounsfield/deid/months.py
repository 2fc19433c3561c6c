"""Days that are written with the name of the month, in many languages."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["MONTH", "SOON_A_DIGIT", "WRITTEN_DAYS", "months_called"]

# As dates have them, abbreviated too; an underscore stands for a space.
_NAMES: Final[tuple[str, ...]] = (
    "jan january januar jänner janv janvier ene enero gen gennaio janeiro januari január januára "
    "januarja januara jaanuar janvāris tammikuuta sausio ian ianuarie oca ocak stycznia styczeń "
    "ledna leden siječnja siječanj янв января январь јануара януари січня січень ιαν ιανουαρίου "
    "ιανουάριος ינואר בינואר يناير جانفي كانون_الثاني ژانویه มกราคม",
    "feb february februar févr février febrero febbraio fev fevereiro februari febr február "
    "februára februarja februara veebruar februāris helmikuuta vasario februarie şubat lutego "
    "luty února únor veljače veljača фев февраля февраль фебруара февруари лютого лютий φεβ "
    "φεβρουαρίου φεβρουάριος פברואר בפברואר فبراير فيفري شباط فوریه กุมภาพันธ์",
    "mar march mär märz mars marzo março maart mrt maret marts märts marta márc március "
    "maaliskuuta kovo martie mart marca marzec března březen ožujka ožujak мар марта март березня "
    "березень μαρ μαρτίου μάρτιος מרץ במרץ מרס במרס مارس آذار มีนาคม",
    "apr april avr avril abr abril aprile aprilie ápr április apríla aprila aprill aprīlis "
    "huhtikuuta balandžio nis nisan kwietnia kwiecień dubna duben travnja travanj апр апреля "
    "апрель април априла квітня квітень απρ απριλίου απρίλιος אפריל באפריל أبريل إبريل أفريل "
    "نيسان آوریل เมษายน",
    "may mai mayo maggio maio mei maj maja máj mája május maijs toukokuuta gegužės mayıs května "
    "květen svibnja svibanj мая май маја травня травень μαΐου μάιος μάϊος מאי במאי مايو أيار "
    "พฤษภาคม",
    "jun june juni juin junio giugno junho juuni jún júna június junija juna jūnijs kesäkuuta "
    "birželio iun iunie haz haziran czerwca czerwiec června červen lipnja lipanj июн июня июнь "
    "јуна юни червня червень ιουν ιουνίου ιούνιος יוני ביוני يونيو يونيه جوان حزيران ژوئن "
    "มิถุนายน",
    "jul july juli juil juillet julio luglio julho juuli júl júla július julija jula jūlijs "
    "heinäkuuta liepos iul iulie tem temmuz lipca lipiec července červenec srpnja srpanj июл июля "
    "июль јула юли липня липень ιουλ ιουλίου ιούλιος יולי ביולי يوليو يوليه جويلية تموز ژوئیه "
    "กรกฎาคม",
    "aug august août ago agosto augustus augusti augusta augusztus avgusta augusts agustus "
    "elokuuta rugpjūčio ağu ağustos sierpnia sierpień srpna srpen kolovoza kolovoz авг августа "
    "август серпня серпень αυγ αυγούστου αύγουστος אוגוסט באוגוסט أغسطس أوت آب สิงหาคม",
    "sep sept september septembre septiembre settembre setembro setiembre septembra septembrie "
    "szept szeptember septembris syyskuuta rugsėjo eyl eylül września wrzesień září rujna rujan "
    "сен сентября сентябрь септембра септембар септември вересня вересень σεπ σεπτεμβρίου "
    "σεπτέμβριος ספטמבר בספטמבר سبتمبر أيلول سپتامبر กันยายน",
    "oct october okt oktober octobre octubre ottobre outubro október októbra oktobra octombrie "
    "oktobris lokakuuta spalio eki ekim października październik října říjen listopada окт "
    "октября октябрь октобра октобар октомври жовтня жовтень οκτ οκτωβρίου οκτώβριος אוקטובר "
    "באוקטובר أكتوبر تشرين_الأول اکتبر ตุลาคม",
    "nov november novembre noviembre novembro novembra noiembrie novembris marraskuuta lapkričio "
    "kas kasım listopada listopad listopadu studenoga studenog studeni ноя ноября ноябрь новембра "
    "новембар ноември листопада листопад νοε νοεμβρίου νοέμβριος נובמבר בנובמבר نوفمبر "
    "تشرين_الثاني نوامبر พฤศจิกายน",
    "dec december dez dezember déc décembre dic diciembre dicembre dezembro decembra decembrie "
    "desember decembris joulukuuta gruodžio ara aralık grudnia grudzień prosince prosinec "
    "prosinca дек декабря декабрь децембра децембар декември грудня грудень δεκ δεκεμβρίου "
    "δεκέμβριος דצמבר בדצמבר ديسمبر كانون_الأول دسامبر ธันวาคม",
)


def _bare(word: str) -> str:
    """Small, and without marks: capitals stand without accents, too."""
    apart = unicodedata.normalize("NFD", word.casefold().replace("ı", "i"))
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


_MONTHS: Final[dict[str, set[int]]] = {}
for _number, _names in enumerate(_NAMES, 1):
    for _name in _names.split():
        _MONTHS.setdefault(_bare(_name), set()).add(_number)


def months_called(word: str) -> set[int]:
    """Their numbers; listopad is one month here, and another there."""
    return _MONTHS[_bare("_".join(word.split()))]


_LETTER = r"[^\W\d_]"
_WORDS = {name for names in _NAMES for name in names.split()} | _MONTHS.keys()
_ONE_OF = "|".join(sorted(_WORDS, key=lambda word: (-len(word), word))).replace("_", r"\s")
MONTH: Final = rf"(?:{_ONE_OF})(?!{_LETTER})"
#: Before a month that no number stands before: without one soon, no name need be tried.
SOON_A_DIGIT: Final = rf"(?<!{_LETTER})(?=\D{{2,20}}\d)"
_GAP = r"[\s.,/_\-]{0,2}(?:(?:del?|of|the)\s)?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er)?"
_YEAR = r"(?:19|20|25)\d{2}"  # of the Buddha, too
_YEAR_AFTER = rf"(?:{_GAP}(?:{_YEAR}|'?\d{{2}})(?![\d:]))?"

#: Each has the group month, and the group day or the group year.
WRITTEN_DAYS: Final[tuple[re.Pattern[str], ...]] = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        rf"(?<!\d){_YEAR}{_GAP}(?P<month>{MONTH}){_GAP}(?P<day>\d{{1,2}})(?!\d)",
        rf"(?<!\d){_DAY}{_GAP}(?P<month>{MONTH}){_YEAR_AFTER}",
        rf"{SOON_A_DIGIT}(?P<month>{MONTH}){_GAP}{_DAY}(?!\d){_YEAR_AFTER}",
        rf"{SOON_A_DIGIT}(?P<month>{MONTH}){_GAP}(?P<year>{_YEAR})(?!\d)",
    )
)
