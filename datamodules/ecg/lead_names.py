"""Names of leads and of the signals recorded beside them, and the units in names."""

from __future__ import annotations

import re

from datamodules.ecg.lead_units import canonical_unit

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", *(f"V{k}" for k in range(1, 10)), *(f"V{k}R" for k in range(3, 7)))
"""Standard leads, as ``canonical_lead`` writes them."""
_BY_KEY = {lead.lower(): lead for lead in LEADS} | {f"ml{lead.lower()}": lead for lead in LEADS[:3]}
_BY_KEY |= {str(k + 1): lead for k, lead in enumerate(LEADS[:3])}
_BY_KEY |= {f"mcl{k}": f"V{k}" for k in range(1, 7)} | {f"d{k + 1}": lead for k, lead in enumerate(LEADS[:3])}
_BY_KEY |= {f"d{lead.lower()}": lead for lead in LEADS[:3]}
_WORDS = re.compile(
    r"\b(ecg|ekg|leads?|ableitung|derivaci[oó]n|d[eé]rivation|einthoven|goldberger|wilson|modified|kanal|channels?|chan|ch|signal|filtered|raw|value|derivation|extremity|chest|limb)\b"
)
OTHER_KINDS = {
    "pulse wave": r"pleth\w*|ppg\w*|pulse\w*|spo2\w*|sao2|sp?o2|bvp|pox",
    "respiration": r"resp\w*|breath\w*|airflow|flow|thorax|thoracic|abdo\w*|abd|nasal|snore|imp|impedance|co2|etco2",
    "pressure": r"abp\d*|art|bp|nibp|ibp|cvp\d*|pap\d*|icp\d*|lap\d*|rap\d*|uap\d*|pressure|press",
    "muscle, brain or eye signal": r"emg\w*|eeg\w*|eog\w*|[el]og|scr|eda|gsr|pcg|bcg|scg",
    "motion": r"acc(el\w*)?\d*|acc_?[xyz]|gyr\w*|mag(net\w*)?|motion|activity|position|pos|steps|imu|axis",
    "temperature": r"temp\w*|skin",
    "heart rate": r"hr|heartrate|bpm|hrv|rri?|ibi|rate|heart",
    "marker": (
        r"events?|markers?|marks?|trig(ger)?s?|status|stim|labels?|class(es)?|annotations?|ann|beats?|symptoms?|comments?"
        r"|notes?|button|flags?|rhythm|diagnosis|r_?peaks?|peaks?|quality|sqi|leads? ?off|loff|pacer?|pacemaker|edf|bdf"
        r"|artifacts?"
    ),
    "device": r"batt?(ery)?|volume|light|mic|sound|analog|digital|crc|checksum|packet|device|firmware|rssi|board|ref",
}
"""Regular expressions for the words in the name of a signal that is not an ECG, by its kind."""
_OTHER = {kind: re.compile(rf"(?<![a-z0-9])({words})(?![a-z])", re.IGNORECASE) for kind, words in OTHER_KINDS.items()}
_IN_BRACKETS = re.compile(r"^(.*?)\s*[\[({<]\s*([^\[\](){}<>]*?)\s*[\])}>]\s*$")
_AFTER_MARK = re.compile(r"^(.*?)(?:\s*[/,_:]\s*|\s+in\s+|\s+)([^\s/_:,]+)$")


def canonical_lead(name: str) -> str:
    """Return the standard name of a lead, or the given name, stripped, if it is of none.

    Letter case, spaces, hyphens, a unit and words such as ``lead`` and ``ECG`` do not matter: ``Lead II``, ``ECG ii``,
    ``MLII``, ``ML II``, ``II (mV)`` and ``ECG lead 2`` are ``II``. MCL1 to MCL6 are the chest leads V1 to V6.
    """
    bare, _ = split_unit(name)
    text = re.sub(r"[\W_]+", " ", bare.lower()).strip()
    kept = _WORDS.sub(" ", text)
    key = "".join(kept.split())
    # "channel 1" and "lead 1" may be any lead, and the latter is the name of a column without one.
    if (key.isdigit() and not re.search(r"\b(ecg|ekg) lead\b", text)) or bare.startswith("-"):
        return name.strip()
    # "ECGII" and "leadII" in one word
    joined = re.sub(r"^(ecg|ekg|lead)+(?=[iavmd])", "", key)
    return _BY_KEY.get(key) or _BY_KEY.get(joined) or name.strip()


def is_lead(name: str) -> bool:
    """Return whether a name is that of a standard lead, or says that the signal is an ECG."""
    return canonical_lead(name) in LEADS or bool(re.search(r"ecg|ekg|\bleads?\b|exg", name, re.IGNORECASE))


def other_kind(name: str) -> str:
    """Return the kind of a signal that is not an ECG by its name, such as ``"respiration"``; empty if it may be one."""
    text = re.sub(r"[\s_\-./]+", " ", split_unit(name)[0])
    if canonical_lead(name) in LEADS:
        return ""
    found = next((kind for kind, words in _OTHER.items() if words.search(text)), "")
    # "ECG quality" and "ECG event" are not an ECG, but "ECG ref" and "ECG light" may be.
    return "" if found not in ("marker", "heart rate") and is_lead(name) else found


def split_unit(name: str) -> tuple[str, str]:
    """Return a name without its unit, and the unit as written: ``ecg [uV]``, ``ECG_mV``, ``II / mV`` or ``II mV``.

    What is in brackets is a unit whatever it is; otherwise only known units are.
    """
    name = name.strip()
    found = _IN_BRACKETS.match(name)
    if found and found[1]:
        return found[1].strip(), found[2]
    found = _AFTER_MARK.match(name)
    if found and found[1] and canonical_unit(found[2]) in ("nV", "uV", "mV"):
        return found[1].strip(), found[2]
    if found and found[1] and canonical_unit(found[2]) and found[2] in ("V", "adu", "counts", "volts", "Volts", "volt"):
        return found[1].strip(), found[2]
    return name, ""
