"""The settings of each text field: its preset, what the parameters say, and what is chosen by the rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone

from xclassic.datasets.texts import record_pieces
from xclassic.features.analyzers import analyzer_of
from xclassic.features.record_fields import Values
from xclassic.features.term_counts import Counts, HashedCounts, TermCounts
from xclassic.features.terms import Cut, Terms, stop_words_of
from xclassic.features.text_parameters import (
    PRESETS,
    Preset,
    by_length,
    check_lengths,
    check_terms,
    fields_of,
    is_list,
    kinds_of,
)
from xclassic.storage.folder import ModelFileError
from xclassic.storage.models import Metadata
from xclassic.validation.labels import check_target
from xclassic.validation.parameters import check_choice, check_common, check_number

WHOLE = "text"  # Name of the only field if the input is not records.
AUTO = "auto"
MOST_ROWS = 20_000  # That a choice looks at; the most it tries on.
DECIDING = {"both": ("tree", "linear"), "tree": ("tree",), "linear": ("linear",)}

Texts = dict[str, NDArray[np.object_]]


class TextSettings:
    """The part of `TextFeatures` that says how texts become terms."""

    text: Any
    preset: Any
    choose_for: str
    n_jobs: int | None
    random_state: Any
    verbose: int
    settings_: dict[str, Preset]
    report_: dict[str, Any]
    terms_: dict[str, list[Terms]]
    min_df: Any
    max_features: Any
    stop_words: Any
    sublinear_tf: Any
    char_weight: Any
    analyzer: Any
    n_hashed: int | None
    _read: Any
    _check_fields: Any
    _weight_of_others: Any

    def _check_parameters(self) -> None:
        check_common(self)
        fields = fields_of("text", self.text)
        if self.text is not None and not fields:
            raise ValueError("text names no field; pass at least one, or None to read texts.")
        self._check_fields(fields)
        self._check_settings()
        check_terms(self.min_df, self.max_features, self.stop_words, self.sublinear_tf, self.analyzer, self.n_hashed)

    def _check_settings(self) -> None:
        n_fields = len(self._text_fields())
        presets = [self.preset] if isinstance(self.preset, str) or not is_list(self.preset) else list(self.preset)
        for preset in presets:
            check_choice("preset", preset, (AUTO, *PRESETS))
        if not isinstance(self.preset, str) and len(presets) != n_fields:
            raise ValueError(f"preset has {len(presets)} entries for {n_fields} text fields; pass one each.")
        for name in ("ngram_range", "char_ngrams"):
            check_lengths(name, getattr(self, name))
        if not all(kinds_of(settings) for settings in self._settings("title").values()):
            raise ValueError("ngram_range and char_ngrams are both empty; at least one of them must be a pair.")
        check_choice("choose_for", self.choose_for, DECIDING)
        if self.char_weight is not None:
            check_number("char_weight", self.char_weight, minimum=0, inclusive=False, maximum=1e6)

    def _text_fields(self) -> list[str]:
        return [WHOLE] if self.text is None else fields_of("text", self.text)

    def _presets(self) -> dict[str, str]:
        """Return the preset of each text field."""
        fields = self._text_fields()
        presets = [self.preset] * len(fields) if isinstance(self.preset, str) else self.preset
        return dict(zip(fields, presets, strict=True))

    def _given(self) -> dict[str, Any]:
        """Return the settings that parameters give for all fields."""
        return {name: getattr(self, name) for name in Preset._fields if getattr(self, name) is not None}

    def _settings(self, automatic: str) -> dict[str, Preset]:
        """Return the settings of each text field, those of one preset where they are to be chosen."""
        presets = {field: automatic if preset == AUTO else preset for field, preset in self._presets().items()}
        return {field: PRESETS[preset]._replace(**self._given()) for field, preset in presets.items()}

    def _chosen(self, texts: Texts, y: Any) -> tuple[dict[str, Preset], dict[str, Any]]:
        """Return the settings of each text field, and a report on those that were chosen."""
        from xclassic.features.choosing_text import CANDIDATES, choose_settings, told

        settings, report = self._settings("title"), {}
        automatic = [field for field, preset in self._presets().items() if preset == AUTO]
        Y, why = _labels(y, len(next(iter(texts.values()))))
        for field in automatic:
            preset, median = by_length(texts[field])
            settings[field] = PRESETS[preset]._replace(**self._given())
            if not kinds_of(settings[field]):  # The parameters leave out all that the preset has.
                settings[field] = PRESETS["title"]._replace(**self._given())
            report[field] = told(settings[field], f"{why}, and the median text has {median:g} words")
        if Y is None or not automatic:
            return settings, report
        candidates = {field: _candidates(CANDIDATES, self._given()) for field in automatic}
        return choose_settings(
            texts,
            Y,
            candidates,
            settings,
            self._try_settings,
            models=DECIDING[self.choose_for],
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def _try_settings(self, settings: dict[str, Preset], train: Texts, new: Texts) -> tuple[csr_array, csr_array]:
        """Return the features of training texts, and of new ones, for given settings."""
        trial: Any = clone(self).set_params(numeric=(), category=(), several=(), crossed=())
        nothing = Values({}, {})
        return trial._learn_rows(train, nothing, settings), trial._rows(new, nothing)

    def _chosen_on_first(self, source: Any, y: Any) -> tuple[dict[str, Preset], dict[str, Any]]:
        """Return settings chosen on the first rows of a source, as many as a choice looks at."""
        read: list[Texts] = []
        n_rows = 0
        for piece in self._pieces(source):
            read.append(self._read(piece, fitted=bool(read))[0])
            n_rows += len(next(iter(read[-1].values())))
            if n_rows >= MOST_ROWS:
                break
        texts = {
            field: np.concatenate([np.empty(0, object), *(part[field] for part in read)])[:MOST_ROWS]
            for field in self._text_fields()
        }
        return self._chosen(texts, None if y is None else y[:MOST_ROWS])

    def _pieces(self, source: Any) -> Iterable[Any]:
        """Return the pieces of a source of rows."""
        if not isinstance(source, (str, os.PathLike)):
            return source  # type: ignore[no-any-return]
        if self.text is not None:
            return record_pieces(source)
        return ([record[WHOLE] for record in records] for records in record_pieces(source, fields=[WHOLE]))

    # Counting and weighing

    def _new_counts(self, settings: dict[str, Preset]) -> list[tuple[str, Counts]]:
        """Return what counts the terms of each block, with its field."""
        counts: list[tuple[str, Counts]] = []
        for field, of_field in settings.items():
            for kind, (shortest, longest) in kinds_of(of_field):
                cut = self._cut(kind, (shortest, longest), "whole")
                counts.append((field, TermCounts(cut, self.n_jobs) if cut.n_hashed is None else HashedCounts(cut)))
        return counts

    def _cut(self, kind: str, lengths: tuple[int, int], words: str) -> Cut:
        if kind != "word":
            return Cut(kind, lengths, n_hashed=self.n_hashed)
        analyzer = None if self.analyzer in (None, "simple") else analyzer_of(self.analyzer)
        return Cut(kind, lengths, words, stop_words_of(self.stop_words), analyzer, self.n_hashed)

    def _length(self) -> float:
        """Return the length of a row without missing values before it is scaled to one."""
        return sqrt(len(self.terms_) + self._weight_of_others())

    def _factors(self) -> list[float]:
        """Return the length of each block of a row."""
        factors = []
        for field, made in self.terms_.items():
            char_weight = self.settings_[field].char_weight
            weights = [1.0 if terms.cut.kind == "word" else char_weight for terms in made]
            length = sqrt(sum(weight**2 for weight in weights)) * self._length()
            factors += [weight / length for weight in weights]
        return factors

    # Persistence

    def _metadata_of_settings(self) -> Metadata:
        return {"settings": {field: list(chosen) for field, chosen in self.settings_.items()}, "report": self.report_}

    def _set_settings(self, metadata: Metadata) -> None:
        self.report_ = metadata.get("report", {})
        stored = metadata.get("settings")
        if stored is None:  # A model from before settings were chosen.
            self.settings_ = self._settings("title")
            return
        self.settings_ = {}
        for field in self._text_fields():
            values = stored.get(field, [])
            if len(values) != len(Preset._fields):
                raise ModelFileError(f"The model lacks the settings of the field {field!r}.")
            for name, lengths in zip(("ngram_range", "char_ngrams"), values, strict=False):
                check_lengths(name, lengths)
            check_number("char_weight", values[-1], minimum=0, inclusive=False)
            self.settings_[field] = Preset(tuple(values[0]), tuple(values[1]), *values[2:])


def _labels(y: Any, n_rows: int) -> tuple[csr_array | None, str]:
    """Return labels as a matrix, or why the lengths of the texts have to decide."""
    if y is None:
        return None, "fit got no y, so the lengths of the texts decide"
    try:
        return check_target(y, n_rows).Y, ""
    except (TypeError, ValueError) as error:  # What comes next says what it takes.
        return None, f"y holds no labels ({error}), so the lengths of the texts decide"


def _candidates(all_of_them: Sequence[Preset], given: dict[str, Any]) -> list[Preset]:
    """Return the different settings that are left where some are given."""
    wanted = [candidate._replace(**{name: _plain(value) for name, value in given.items()}) for candidate in all_of_them]
    alone = [settings for settings in wanted if len(kinds_of(settings)) == 1]  # Whose weight makes no difference.
    plain = [settings._replace(char_weight=1.0) if settings in alone else settings for settings in wanted]
    return [settings for settings in dict.fromkeys(plain) if kinds_of(settings)]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
