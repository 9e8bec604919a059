"""Words that labs use for their columns and findings, in the languages that most exports are written in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

COLUMN_WORDS: dict[str, frozenset[str]] = {
    "patient": frozenset(
        "patient patients patienten patientid pat patnr patid pid subject subjectid subj subjekt recordid speaker person proband "
        "participant participantid case fall fallnr paciente sujet sujeto patientennummer patientennr patientnr mrn".split()
    ),
    "label": frozenset(
        "label labels class classes klasse diagnosis diagnoses diagnose diagnosen diagnostic sound sounds finding findings befund "
        "befunde type typ status result ergebnis auscultation auskultation geräusch gerausch annotation category kategorie "
        "hallazgo covid pathology pathologie disease krankheit outcome".split()
    ),
    "sex": frozenset("sex gender geschlecht sexe sexo genre genero".split()),
    "age": frozenset("age alter edad agey ageyears agemonths agem âge jahre".split()),
    "born": frozenset("dob birth birthdate dateofbirth geboren geburtsdatum geb gebdatum born birthday nacimiento".split()),
    "at": frozenset(
        "date visitdate visit recorded recording recordingdate aufnahmedatum aufgenommen aufnahme datum untersuchung "
        "untersuchungsdatum examdate fecha".split()
    ),
    "site": frozenset("hospital clinic klinik centre center site ward station institution krankenhaus".split()),
    "device": frozenset("device gerät geraet stethoscope stethoskop recorder phone mikrofon microphone equipment".split()),
    "place": frozenset(
        "location position place side seite ort stelle site auscultationpoint point lokalisation posicion spot".split()
    ),
    "visit": frozenset("visit session besuch termin redcapeventname eventname timepoint zeitpunkt".split()),
    "rater": frozenset("rater annotator expert reader listener doctor beurteiler untersucher observer hörer arzt".split()),
    "start": frozenset("start starts begin beginn onset von from tmin startzeit".split()),
    "end": frozenset("end ends ende offset bis to stop tmax endzeit".split()),
}
NORMAL = frozenset(
    "normal healthy none negative negativ neg gesund unauffällig unauffaellig vesikulär vesicular clear sano 0 no nein "
    "absent control kontrolle nothing kein keine ohne n o.b. ob".split()
)
UNKNOWN_WORDS = frozenset(
    "unklar unclear unknown unbekannt ? -9 -99 -999 999 k.a. ka . - -- na n/a nan null unsure uncertain "
    "uninterpretable unlesbar missing fehlt desconocido indeterminate".split()
) | {"nicht beurteilbar", "not known", "poor quality", "nicht verwertbar"}
EMPTY = frozenset({"", "na", "n/a", "nan", "null", "<na>", "?"})
POSITIVE = frozenset("positive positiv pos yes ja abnormal sick krank 1 present".split())
SOUNDS = re.compile(
    r"wheez|crackl|rhonch|stridor|rale|rubs?\b|giemen|brumm|\brgs?\b|pfeif|knister|rasselger|sibil|crepit|murmur|cough|"
    r"normal|bronchial|gesund|healthy|copd|asthma|pneumon|positiv|negativ|abnormal|covid|crack|ronc",
    re.IGNORECASE,
)
FEMALE = frozenset("f female w weiblich woman frau femme femenino mujer fem girl mädchen".split())
MALE = frozenset("m male männlich maennlich man mann homme masculino hombre masc boy junge mnl".split())
PLACES = frozenset(
    "left right anterior posterior lateral front back links rechts vorn hinten apex base upper lower trachea tc al ar pl pr ll "
    "lr rua rla rml rll rul lua lla lul lll lma rma tr lp rp la ra heart aortic pulmonic mitral tricuspid chest neck".split()
)


def fold(text: str) -> str:
    """Return a text as it is compared: composed, small, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def tokens(name: str) -> list[str]:
    """Return the words of a column's name, and all of them in one.

    >>> tokens("Pat-Nr"), tokens("ageMonths")
    (['pat', 'nr', 'patnr'], ['age', 'months', 'agemonths'])
    """
    parts = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    folded = [fold(part) for part in parts]
    return [*folded, "".join(folded)] if len(folded) > 1 else folded


def is_called(name: str, role: str) -> bool:
    """Tell whether a column's name says that it holds this."""
    return bool(COLUMN_WORDS[role].intersection(tokens(name)))


def is_normal(value: str) -> bool:
    """Tell whether a finding says that nothing was found."""
    folded = fold(value)
    return folded in NORMAL or bool(NORMAL.intersection(re.findall(r"[^\W_]+", folded)) - {"n", "no", "0", "none"})


def is_unknown(value: str) -> bool:
    """Tell whether a value says that nothing is known."""
    return fold(value) in UNKNOWN_WORDS or fold(value) in EMPTY


def share(values: Iterable[str], allowed: Iterable[str]) -> float:
    """Return which part of the values, folded, is allowed; 0 where there is none."""
    listed = [fold(value) for value in values]
    known = frozenset(allowed)
    return sum(value in known for value in listed) / len(listed) if listed else 0.0
