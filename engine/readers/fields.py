"""Which column is which field: guesses by name, and the way from a row of any table to a Record."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from engine.errors import BadInput
from engine.readers.base import FIELDS, ColumnGuess
from engine.readers.clean import clean_id, parse_year, split_names
from engine.types import Record

# Names in order of preference, lower case without accents and punctuation; those of other languages after the English ones.
_NAMES = {
    "doc_id": "id docid docno documentid paperid corpusid articleid key uid uuid identifier pmid arxivid anthologyid doi",
    "title": "title papertitle articletitle documenttitle name headline",
    "text": "text abstract abstractnote body content contents passage paragraph document fulltext description summary",
    "authors": "authors author authornames authorfullnames authorlist creators creator by",
    "year": "year publicationyear pubyear py date publicationdate pubdate published publishedat publishedyear issued updatedate createdat",
    "venue": "venue journal booktitle journaltitle sourcetitle publicationtitle containertitle conference journalname publication source",
    "url": "url link uri href paperurl pdfurl website web doi",
}
_FOREIGN = {  # German, French, Spanish, Italian, Portuguese, Dutch
    "doc_id": "kennung dokumentid identifiant identificador identificativo identificatie",
    "title": "titel dokumenttitel titre titulo titolo",
    "text": (
        "zusammenfassung kurzfassung resume resumen resumo riassunto sommario samenvatting volltext texte texto testo tekst "
        "inhalt contenu contenido conteudo contenuto inhoud beschreibung descripcion descricao descrizione"
    ),
    "authors": "autoren autor autorin autorinnen verfasser auteurs auteur autores autora autori autore",
    "year": (
        "jahr erscheinungsjahr publikationsjahr veroffentlichungsjahr annee anneedepublication ano anodepublicacion anodepublicacao anno "
        "annodipubblicazione jaar publicatiejaar datum erscheinungsdatum datedepublication fecha fechadepublicacion"
    ),
    "venue": (
        "zeitschrift konferenz tagungsband quelle revue conference revista conferencia fuente fonte rivista conferenza tijdschrift "
        "conferentie bron"
    ),
    "url": "webadresse lien enlace",
}
_BY_FIELD = {field: [*names.split(), *_FOREIGN[field].split()] for field, names in _NAMES.items()}
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_VENUE_WITH_DATE = re.compile(rf"(.*\S)[,\s]+{_MONTH},?\s+((?:1\d|20)\d\d)", re.IGNORECASE)


def squeeze(name: str) -> str:
    """A column name as it is compared: lower case letters without accents, and digits."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKD", name.lower()))


def guess_columns(names: Sequence[str], sample: Sequence[Mapping[str, Any]] = ()) -> list[ColumnGuess]:
    """Which column feeds which field, by name. Where no name says text or title, the column with the longest text in `sample` is the text."""
    by_name: dict[str, str] = {}
    for name in names:
        by_name.setdefault(squeeze(name), name)
    chosen: dict[str, str] = {}
    for field in FIELDS:
        for name in _BY_FIELD[field]:
            # A DOI may be both the id and the address; every other column feeds one field.
            if name in by_name and (name == "doi" or by_name[name] not in chosen.values()):
                chosen[field] = by_name[name]
                break
    if "title" not in chosen and "text" not in chosen:
        lengths = {name: sum(len(row[name]) for row in sample if isinstance(row.get(name), str)) for name in names}
        free = [name for name in names if name not in chosen.values() and lengths[name]]
        if free:
            chosen["text"] = max(free, key=lambda name: lengths[name])
    return [ColumnGuess(field, column) for field, column in chosen.items()]


class RowMapper:
    """Turns rows (column name -> value) into Records. Columns that feed no field are kept as metadata."""

    def __init__(
        self, names: Sequence[str], overrides: Mapping[str, str], sample: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Raises BadInput when an override names a missing column, or when nothing can be the title or the text."""
        self.columns = {guess.field: guess.column for guess in guess_columns(names, sample)}
        for field, column in overrides.items():
            if column and column not in names:
                raise BadInput(
                    f"There is no column {column!r} for {field}. Columns: {', '.join(map(str, names)) or 'none'}."
                )
            self.columns[field] = column
        self.columns = {field: column for field, column in self.columns.items() if column}
        if "title" not in self.columns and "text" not in self.columns:
            raise BadInput(
                f"No column looks like a title or a text; say which one is. Columns: {', '.join(map(str, names)) or 'none'}."
            )
        self._used = set(self.columns.values())

    def record(self, row: Mapping[str, Any], place: str) -> Record:
        """The Record of one row; a nested `metadata` object fills the fields that the row itself leaves open."""
        get = {field: row.get(column) for field, column in self.columns.items()}
        rest = {name: value for name, value in row.items() if name not in self._used}
        # A DOI that serves as the id or address is still worth showing as a DOI.
        rest.update({name: row[name] for name in self._used if squeeze(name) == "doi" and row.get(name)})
        if isinstance(rest.get("metadata"), Mapping):
            _fill_from(rest.pop("metadata"), get, rest)
        return build_record(get, rest, place)


def _fill_from(nested: Mapping[str, Any], get: dict[str, Any], rest: dict[str, Any]) -> None:
    names = {
        guess.field: guess.column
        for guess in guess_columns(list(nested))
        if guess.field not in ("doc_id", "title", "text")
    }
    filled = {column for field, column in names.items() if not get.get(field) and nested[column]}
    for field, column in names.items():
        if column in filled:
            get[field] = nested[column]
    rest.update({key: value for key, value in nested.items() if key not in filled and key not in rest})


def build_record(get: Mapping[str, Any], rest: Mapping[str, Any], place: str) -> Record:
    """A Record from loosely typed field values. A date at the end of a venue ("CACM December, 1958") becomes its year."""
    venue, year = as_text(get.get("venue")), parse_year(get.get("year"))
    dated = _VENUE_WITH_DATE.fullmatch(venue.strip())
    if dated and year is None:
        venue, year = dated.group(1).rstrip(","), int(dated.group(2))
    extra = dict(rest)
    if get.get("year") is not None and str(get["year"]) != str(year):
        extra.setdefault("date", get["year"])  # keep what the year was read from: it may hold the month and day
    return Record(
        doc_id=clean_id(get.get("doc_id")),
        title=as_text(get.get("title")),
        text=as_text(get.get("text")),
        authors=split_names(get.get("authors")),
        year=year,
        venue=venue,
        url=as_text(get.get("url")),
        metadata=extra,
        place=place,
    )


def as_text(value: Any) -> str:
    """A cell as text: lists of strings become paragraphs, other structures JSON. Raises RecursionError where they are too deep for it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:  # beyond, digits would be made up
        return str(int(value))
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return "\n\n".join(value)
    if isinstance(value, (list, tuple, dict)):
        try:
            return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            raise RecursionError("a cell is nested too deeply") from None
    return str(value)
