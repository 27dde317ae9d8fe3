"""Step 1 of 5: the words that people and spreadsheet programs use for yes, for no and for an error.

Owns the lists, nothing else. A CSV export is in the language of the user who made it.
"""

from __future__ import annotations

import re

YES = frozenset({
    *("true", "t", "yes", "y", "on", "1", "1.0"),
    *("wahr", "ja", "j", "vrai", "oui", "verdadero", "sí", "si", "vero", "sì", "verdadeiro", "sim", "waar"),
    *("sand", "sant", "sann", "tosi", "prawda", "pravda", "igaz", "doğru", "истина", "да"),
})  # fmt: skip
NO = frozenset({
    *("false", "f", "no", "n", "off", "0", "0.0"),
    *("falsch", "nein", "faux", "non", "falso", "não", "nao", "onwaar", "nee"),
    *("falsk", "falskt", "usann", "epätosi", "fałsz", "nepravda", "hamis", "yanlış", "yanliş", "ложь", "нет"),
})  # fmt: skip
"""Lower case. Source: what Excel shows for TRUE and FALSE in these languages, and how people say it. Single letters
that are yes in one language and something else in another (o, s, v, x) are not in the lists."""

_ERRORS = frozenset({
    *("#N/A", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#GETTING_DATA", "#SPILL!", "#CALC!"),
    *("#FIELD!", "#BLOCKED!", "#CONNECT!", "#UNKNOWN!", "#BUSY!", "#PYTHON!", "#EXTERNAL!"),
    *("#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#ÜBERLAUF!", "#KALK!", "#FELD!", "#BLOCKIERT!"),
    *("#NOMBRE!", "#VALEUR!", "#NOM?", "#NUL!", "#CHAMP!", "#N/D", "#¿NOMBRE?", "#¡VALOR!", "#¡REF!", "#¡NUM!"),
    *("#¡NULO!", "#¡DIV/0!", "#VALORE!", "#RIF!", "#NOME?", "#VALOR!", "#NULO!"),
    *("#NB", "#WAARDE!", "#VERW!", "#NAAM?", "#GETAL!", "#LEEG!", "#DEEL/0!"),
})  # fmt: skip
_LIBREOFFICE_ERROR = re.compile(r"(?:Err|Fehler|Erreur|Errore|Erro):\s?[0-9]{3}", re.IGNORECASE)


def is_error_text(text: str) -> bool:
    """Tell whether the text is what a spreadsheet program shows for an error."""
    return text[:1] in "#EFef" and (text.upper() in _ERRORS or _LIBREOFFICE_ERROR.fullmatch(text) is not None)
