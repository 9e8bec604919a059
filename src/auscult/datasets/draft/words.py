"""Words that labs use for their columns and findings, in the languages that most exports are written in."""

from __future__ import annotations

import re
import unicodedata


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COLUMN_WORDS: dict[str, frozenset[str]] = {
    "patient": _words(
        "patient patients patienten patientid pat patnr patid pid subject subjectid subj subjekt recordid "
        "speaker person proband participant participantid case fall fallnr paciente sujet sujeto "
        "patientennummer patientennr patientnr mrn"
    ),
    "label": _words(
        "label labels class classes klasse diagnosis diagnoses diagnose diagnosen diagnostic sound sounds "
        "finding findings befund befunde type typ status result ergebnis auscultation auskultation geräusch "
        "annotation category kategorie hallazgo covid pathology pathologie disease krankheit outcome heard"
    ),
    "sex": _words("sex gender geschlecht sexe sexo genre genero"),
    "age": _words("age alter edad agey ageyears agemonths agem âge jahre"),
    "born": _words("dob birth birthdate dateofbirth geboren geburtsdatum geb gebdatum born birthday nacimiento"),
    "at": _words(
        "date visitdate visit recorded recording recordingdate aufnahmedatum aufgenommen aufnahme datum "
        "untersuchung untersuchungsdatum examdate fecha"
    ),
    "site": _words("hospital clinic klinik centre center site ward station institution krankenhaus"),
    "device": _words("device gerät geraet stethoscope stethoskop recorder phone mikrofon microphone equipment"),
    "place": _words(
        "location position place side seite ort stelle site auscultationpoint point lokalisation posicion spot"
    ),
    "visit": _words("visit session besuch termin redcapeventname eventname timepoint zeitpunkt"),
    "rater": _words("rater annotator expert reader listener doctor beurteiler untersucher observer hörer arzt"),
    "start": _words("start starts begin beginn onset von from tmin startzeit"),
    "end": _words("end ends ende offset bis to stop tmax endzeit"),
}
NORMAL = _words(
    "normal healthy none negative negativ neg gesund unauffällig unauffaellig vesikulär vesicular clear sano 0 "
    "no nein absent control kontrolle nothing kein keine ohne n o.b. ob"
)
UNKNOWN_WORDS = _words(
    "unklar unclear unknown unbekannt ? -9 -99 -999 999 k.a. ka . - -- na n/a nan null <na> unsure uncertain "
    "uninterpretable unlesbar missing fehlt desconocido indeterminate"
) | {"", "nicht beurteilbar", "not known", "poor quality", "nicht verwertbar"}
POSITIVE = _words("positive positiv pos yes ja abnormal sick krank 1 present")
SOUNDS = re.compile(
    r"wheez|crackl|rhonch|stridor|rale|rubs?\b|giemen|brumm|\brgs?\b|pfeif|knister|rasselger|sibil|crepit|murmur|cough|"
    r"normal|bronchial|gesund|healthy|copd|asthma|pneumon|positiv|negativ|covid|ronc",
    re.IGNORECASE,
)
STRUCTURE = _words(
    "cycle insp exp inhalation exhalation inspiration expiration inspiratory expiratory in ex i e breath phase atemzug "
    "einatmung ausatmung"
)
"""Events that say where a breath is, not what is heard in it."""
FEMALE = _words("f female w weiblich woman frau femme femenino mujer fem girl mädchen")
MALE = _words("m male männlich maennlich man mann homme masculino hombre masc boy junge mnl")
PLACES = _words(
    "left right anterior posterior lateral front back links rechts vorn hinten apex base upper lower trachea tc "
    "al ar pl pr ll lr rua rla rml rll rul lua lla lul lll lma rma tr lp rp la ra heart aortic pulmonic mitral "
    "tricuspid chest neck"
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


def is_called(name: str, *roles: str) -> bool:
    """Tell whether a column's name says that it holds one of these."""
    said = tokens(name)
    return any(COLUMN_WORDS[role].intersection(said) for role in roles)


def is_normal(value: str) -> bool:
    """Tell whether a finding says that nothing was found.

    >>> is_normal("o.B."), is_normal("normal breathing"), is_normal("abnormal")
    (True, True, False)
    """
    folded = fold(value)
    parts = NORMAL.intersection(re.findall(r"[^\W_]+", folded))
    return folded in NORMAL or bool(parts - {"n", "no", "0", "none", "ob"})


def is_unknown(value: str) -> bool:
    """Tell whether a value says that nothing is known."""
    return fold(value) in UNKNOWN_WORDS
