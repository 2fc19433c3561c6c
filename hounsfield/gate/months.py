"""What people call the months, for days that are written in words."""

from __future__ import annotations

from typing import Final

__all__ = ["MONTHS"]

#: Of each month: words without marks, as texts are searched; an asterisk is any ending, an
#: underscore a space.
MONTHS: Final[tuple[tuple[str, ...], ...]] = tuple(
    tuple(names.split())
    for names in (
        "jan januar* janner janv janvier janeiro jaanuar* ene enero gen gennaio ian ianuarie "
        "oca ocak stycz* leden ledna sijec* tammiku* sausio янв январ* јануар* януари січень "
        "січня ιαν* ינואר בינואר يناير جانفي ژانویه มกราคม janvar* كانون_الثاني",
        "feb februar* febr fevr fevrier febrero febbraio fev fevereiro veebruar* helmiku* "
        "vasario subat luty lutego unor unora veljac* фев феврал* фебруар* февруари лютий "
        "лютого φεβ* פברואר בפברואר فبراير فيفري شباط فوریه กุมภาพันธ์",
        "mar march marz mars marzo marco maart mrt maret marts marta marc marca marcius "
        "maaliskuu* kovo mart martie marzec brez* ozuj* мар март* березень березня μαρ μαρτι* "
        "מרץ במרץ מרס במרס مارس آذار มีนาคม",
        "apr april* avr avril* abr abril* aprill* huhtiku* balandz* nis nisan kwie* dub* "
        "travanj travnja апр апрел* април* квітень квітня απρ* אפריל באפריל أبريل إبريل أفريل "
        "نيسان آوریل เมษายน",
        "may mai mayo maggio maio mei maj maja majus majus maijs toukoku* geguz* mayis kvet* "
        "svib* мај* май мая травень травня μαι* μαϊ* מאי במאי مايو أيار พฤษภาคม mayıs",
        "jun june juni juin junio giugno junho juuni juna junij* junius kesaku* birz* iun iuni* "
        "haz haziran czerw* cerven cervna lipanj июн* јун* юни червень червня ιουν* יוני ביוני "
        "يونيو يونيه جوان حزيران ژوئن มิถุนายน lipnja",
        "jul july juli juil juillet julio luglio julho juuli jula julij* julius heinaku* liepos "
        "iul iuli* tem temmuz lipiec lipca cervenec cervence srpanj июл* јул* юли липень липня "
        "ιουλ* יולי ביולי يوليو يوليه جويلية تموز ژوئیه กรกฎาคม srpnja",
        "aug august* aout ago agosto avgust* agustus eloku* rugpj* agu agustos sierp* srpna "
        "srpen kolovoz* авг август* серпень серпня αυγ* אוגוסט באוגוסט أغسطس أوت آب สิงหาคม "
        "augusztus",
        "sep sept septem* setiembre settembre setembro szept* syysku* rugsej* eyl eylul wrzes* "
        "zari rujna rujan сен сентябр* септемвр* септембар септембра вересень вересня σεπ* "
        "ספטמבר בספטמבר سبتمبر أيلول سپتامبر กันยายน septiemb*",
        "oct octob* octub* okt oktob* ottobre outubro lokaku* spalio eki ekim pazdz* rijen "
        "rijna listopad* окт октябр* октобр* октомври жовтень жовтня οκτ* אוקטובר באוקטובר "
        "أكتوبر اکتبر ตุลาคม octomb* октобар تشرين_الأول",
        "nov novem* noviembre noiemb* marrasku* lapkr* kas kasım kasim listopad* studeni "
        "studenog studenoga ноя ноябр* новембр* новембар ноември листопад листопада νοε* "
        "נובמבר בנובמבר نوفمبر نوامبر พฤศจิกายน تشرين_الثاني",
        "dec decem* dez dezem* dic diciembre dicembre desem* jouluku* gruodz* ara aralık aralik "
        "grudnia grudzien prosin* дек декабр* децемб* декемвр* грудень грудня δεκ* דצמבר בדצמבר "
        "ديسمبر دسامبر ธันวาคม كانون_الأول",
    )
)
