"""The suites: what must hold between two stages, one list a gate, one expectation a line.

Each names the frame and column it looks at, the bound, and what to do when it fails. The most telling stand first: a
failed gate's message begins with the first critical one. Thresholds that depend on the corpus or task are options of
the gate's section in params.yaml; those written here are bounds of the possible.
"""

import math

from bertline.base.config import Documents, Pretrain, Vocab
from bertline.base.gate_config import GateCorpus, GatePretrain, GateTask, GateTokens
from bertline.validation.checks import Check, between, matches, none, one_of, rows, unique
from bertline.validation.corpus import SCHEMA
from bertline.validation.language import needs_marks, parts_words, script_of
from bertline.validation.vocabulary import SPECIAL_TOKENS

_DOCUMENTS = "Run `dvc repro -f documents`; if it comes again, look at the source of the documents"
_CLEAN = "Remove the source, or clean it in stage documents"
_ENCODE = "Run `dvc repro -f encode`"
_VOCAB = "Run `dvc repro -f vocab`"
_PRETRAIN = "Run `dvc repro -f pretrain`"
_TASK = "Run `dvc repro -f task`; for a task of your own, look at its files under data/sources"
_ROW = "Correct the row in the task's source, or remove it"

_NAME = r"^(?![0-9a-f]{32}$).{1,255}$"  # of a file or a package, which are short; an id is 32 digits


def corpus_suite(options: GateCorpus, documents: Documents, count: int) -> list[Check]:
    """gate_corpus: between documents and vocab; `count` documents in both splits."""
    fraction = documents.validation_fraction
    # Each document falls by its hash: six standard deviations of that, or half as many again where there are many.
    slack = max(fraction / 2, 6 * math.sqrt(fraction * (1 - fraction) / max(count, 1)))
    low = max(fraction - slack, 0)
    more_text = "Add sources to download.sources, or lower gate_corpus.min_documents"
    split = "The split follows a hash of the text, so copies fall together: deduplicate, and run documents again"
    other = "Remove the source in another language, or set documents.language"
    return [
        none("shards_can_be_read", "shards.fault", _DOCUMENTS),
        one_of("shards_have_the_schema", "shards.columns", [SCHEMA], _DOCUMENTS),
        between("shards_hold_documents", "shards.rows", 1, None, _DOCUMENTS),
        one_of("both_splits_are_there", "corpus.splits", ["train, validation"], _DOCUMENTS),
        none("no_document_was_lost", "corpus.lost", _DOCUMENTS),
        between("documents_are_enough", "corpus.train_documents", options.min_documents, None, more_text),
        between("validation_share_is_as_asked", "corpus.validation_share", low, fraction + slack, split),
        matches("ids_are_hashes", "documents.id", r"^[0-9a-f]{16,64}$", _DOCUMENTS),
        unique("ids_are_unique", "documents.id", _DOCUMENTS),
        matches("sources_are_given", "documents.source", r"\S", _DOCUMENTS),
        matches("sources_are_names_not_texts", "documents.source", _NAME, _DOCUMENTS),
        between("titles_are_short", "documents.title_characters", 0, 1000, _DOCUMENTS, mostly=0.999),
        between("documents_have_sentences", "documents.sentences", documents.min_sentences, None, _DOCUMENTS),
        between("sentences_are_not_empty", "documents.empty_sentences", 0, 0, _DOCUMENTS),
        between("no_document_is_endless", "documents.characters", 0, 20_000_000, _CLEAN, severity="warning"),
        between("documents_have_text", "documents.characters", documents.min_characters // 2, None, _DOCUMENTS),
        between("sentences_are_of_normal_length", "corpus.characters_per_sentence", 10, 500, _CLEAN),
        between("no_sentence_is_endless", "documents.longest_sentence", 0, 20_000, _CLEAN, severity="warning"),
        none("texts_are_unique", "documents.same_text_as", _CLEAN, mostly=1 - options.max_duplicate_share),
        none("near_duplicates_are_rare", "documents.nearly_as", _CLEAN, mostly=1 - options.max_near_duplicate_share),
        between("validation_is_not_in_train", "corpus.leaked_share", 0, options.max_leaked_share, split),
        none("documents_are_in_the_language", "documents.language_fault", other, mostly=0.97),
        between("letters_are_of_the_script", "corpus.foreign_share", 0, options.max_foreign_share, other),
        between("text_is_letters", "corpus.own_letter_share", 0.5, 1, _CLEAN),
        between("markup_is_gone", "corpus.markup_share", 0, options.max_markup_share, _CLEAN),
        between("encoding_is_intact", "corpus.mojibake_share", 0, options.max_mojibake_share, _CLEAN),
        between("control_characters_are_gone", "corpus.control_share", 0, 0.01, _CLEAN),
        between("control_characters_are_rare", "corpus.control_share", 0, 0.001, _CLEAN, severity="warning"),
    ]


def tokens_suite(options: GateTokens, vocab: Vocab, language: str) -> list[Check]:
    """gate_tokens: between encode and pretrain; a vocabulary of another model has a size, order and case of its own."""
    more_text = "Add sources to download.sources, or lower gate_tokens.min_tokens"
    denser = "Raise encode.max_tokens_per_character (a small vocabulary needs more tokens), or clean the corpus"
    smaller = "Choose a smaller vocab.size, or add text"
    larger = "Choose a larger vocab.size, or clean the corpus"
    unknown = "Look for characters of another script in the corpus, or choose a larger vocab.size"
    if not parts_words(language):
        larger = "Raise gate_tokens.max_tokens_per_word: what stands between two spaces is no word in this language"
        if script_of(language) == "east asian":  # BERT parts the characters itself, and each needs an entry
            unknown = "Choose a larger vocab.size, of twice the corpus's different characters at least; where the rest"
            unknown += " are characters that no training document has, raise gate_tokens.max_unknown_share"
        else:
            unknown += ". Of over 100 letters without a space BERT makes [UNK]: put spaces between words"
    pieces = r"^\S+$"
    if vocab.reuse:
        pieces = r"^[^ \t\r\n]*$"  # bert-base-chinese has an entry U+2028; transformers saves it as an empty one
        smaller = "Lower gate_tokens.min_vocab_used: the vocabulary was made for other text"
        larger = "Clean the corpus, or raise gate_tokens.max_tokens_per_word: the vocabulary was made for other text"
        unknown = "Look for characters of another script in the corpus, or raise gate_tokens.max_unknown_share"
    kept = "Set vocab.lowercase to false: true takes away accents too, and in this language these tell words apart"
    ours = [
        one_of("special_tokens_come_first", "vocabulary.first_five", [" ".join(SPECIAL_TOKENS)], _VOCAB),
        between("size_is_a_multiple_of_64", "vocabulary.over_64", 0, 0, _VOCAB),
        one_of("capitals_are_as_asked", "vocabulary.case", ["lower" if vocab.lowercase else "kept"], _VOCAB),
    ]
    if needs_marks(language):
        ours.append(one_of("marks_are_kept", "vocabulary.case", ["kept"], kept, severity="warning"))
    return [
        none("special_tokens_are_there", "vocabulary.special_fault", _VOCAB),
        *([] if vocab.reuse else ours),
        unique("entries_are_unique", "entries.token", _VOCAB),
        matches("entries_are_pieces", "entries.token", pieces, _VOCAB),
        none("tokenizer_has_the_vocabulary", "vocabulary.differs_from_tokenizer", _VOCAB),
        between("words_have_continuations", "vocabulary.continuations_share", 0.02, 0.95, _VOCAB, severity="warning"),
        none("stores_can_be_read", "stores.fault", _ENCODE),
        none("counts_are_recorded", "stores.missing", _ENCODE),
        none("files_are_as_written", "stores.altered", _ENCODE),
        none("counts_are_as_recorded", "stores.miscounted", _ENCODE),
        one_of("stores_are_of_this_vocabulary", "stores.vocabulary", ["same"], _ENCODE),
        none("offsets_are_whole", "stores.offset_faults", _ENCODE),
        none("ids_are_in_the_vocabulary", "stores.ids_beyond", _ENCODE),
        between("no_special_ids_in_the_text", "stores.special_ids", 0, 0, _ENCODE),
        none("no_document_was_lost", "stores.documents_lost", _ENCODE),
        between("few_documents_were_dropped", "stores.dropped_share", 0, 0.1, denser, severity="warning"),
        none("ids_are_those_of_the_text", "stores.text_fault", _ENCODE),
        between("tokens_are_enough", "tokens.train_tokens", options.min_tokens, None, more_text),
        between("unknown_tokens_are_rare", "stores.unknown_share", 0, options.max_unknown_share, unknown),
        between("words_are_few_tokens", "stores.tokens_per_word", 0.9, options.max_tokens_per_word, larger),
        between("sentences_are_of_normal_length", "stores.tokens_per_sentence", 3, 500, _ENCODE),
        between("vocabulary_is_in_use", "tokens.vocab_used", options.min_vocab_used, 1, smaller),
        none("figures_are_there", "tokens.missing", _ENCODE),
        none("figures_agree_with_encode", "tokens.differs", _ENCODE),
    ]


def pretrain_suite(options: GatePretrain, recipe: Pretrain) -> list[Check]:
    """gate_pretrain: between pretrain and finetune."""
    lower = "Lower pretrain.learning_rate, or raise pretrain.warmup"
    longer = "Raise pretrain.budget, or lower the threshold in gate_pretrain"
    gain, above = options.min_gain_over_unigram, options.min_accuracy_over_unigram
    checks = [
        none("weights_can_be_read", "model.fault", _PRETRAIN),
        none("weights_are_sound", "weights.fault", lower),
        between("all_weights_are_there", "model.parameters_missing", 0, 0, _PRETRAIN),
        none("model_fits_the_vocabulary", "model.vocabulary_fault", _PRETRAIN),
        none("model_has_the_tokenizer", "model.tokenizer_fault", _PRETRAIN),
        rows("curve_has_points", "curve", 2, "Lower pretrain.log_every"),
        none("curve_is_finite", "curve.missing", lower),
        between("steps_rise", "curve.step_gain", 1, None, _PRETRAIN),
        between("tokens_rise", "curve.token_gain", 1, None, _PRETRAIN),
        between("curve_has_no_gaps", "curve.step_gain", None, recipe.log_every, _PRETRAIN),
        between("curve_accuracy_is_a_share", "curve.mlm_accuracy", 0, 1, _PRETRAIN),
        between("learning_rate_is_within_its_peak", "curve.learning_rate", 0, recipe.learning_rate * 1.001, _PRETRAIN),
        none("figures_are_there", "pretraining.missing", _PRETRAIN),
        between("loss_falls", "pretraining.loss_fall", 0.01, None, lower),
        between("loss_ends_near_its_lowest", "pretraining.loss_rise", None, 0.5, lower),
        between("mlm_accuracy_is_a_share", "pretraining.validation_mlm_accuracy", 0.001, 1, _PRETRAIN),
        between("mlm_loss_is_possible", "pretraining.validation_mlm_loss", 0.01, 20, _PRETRAIN),
        between("model_beats_unigrams", "pretraining.gain_over_unigram", gain, None, longer),
        between("mlm_beats_the_commonest_token", "pretraining.accuracy_over_unigram", above, None, longer),
        between("validation_follows_training", "pretraining.overfit", None, 1.5, longer, severity="warning"),
        between("model_has_weights", "pretraining.parameters", 1, None, _PRETRAIN),
        between("steps_were_taken", "pretraining.steps", 1, None, _PRETRAIN),
        between("curve_reaches_the_end", "pretraining.steps_unlogged", 0, recipe.log_every, _PRETRAIN),
    ]
    if recipe.budget_unit == "steps":
        checks.append(between("budget_was_used", "pretraining.steps", int(recipe.budget), None, _PRETRAIN))
    if recipe.budget_unit == "tokens":
        checks.append(between("budget_was_used", "pretraining.tokens", int(recipe.budget * 0.99), None, _PRETRAIN))
    if recipe.pairs:
        least = options.min_nsp_accuracy
        checks += [
            between("nsp_beats_chance", "pretraining.validation_nsp_accuracy", least, 1, longer),
            between("nsp_loss_is_possible", "pretraining.validation_nsp_loss", 0.0, 5, _PRETRAIN),
        ]
    return checks


def task_suite(options: GateTask, kind: str) -> list[Check]:
    """gate_task@T: between task@T and finetune@T; the expectations follow the kind of the task."""
    more_rows = "Add rows, or lower gate_task.min_rows"
    longer = "Look whether a quote was left open; cut the text, or raise gate_task.max_characters"
    leak = "Remove these rows from the training split: the score would be of memory, not of skill"
    return [
        none("splits_can_be_read", "splits.fault", _TASK),
        none("rows_are_well_formed", "rows.fault", _ROW),
        between("rows_are_enough", "splits.rows", options.min_rows, None, more_rows),
        none("no_row_was_lost", "splits.rows_lost", _TASK),
        unique("ids_are_unique", "rows.id", _TASK),
        between("test_is_not_in_train", "splits.leaked_share", 0, options.max_leaked_share, leak),
        none("texts_are_unique", "rows.copy_of", _ROW, mostly=1 - options.max_duplicate_share, severity="warning"),
        none("copies_agree", "rows.other_label", _ROW, mostly=0.99, severity="warning"),
        between("texts_are_of_normal_length", "rows.characters", 1, options.max_characters, longer),
        between("markup_is_gone", "task.markup_share", 0, options.max_markup_share, _TASK),
        between("encoding_is_intact", "task.mojibake_share", 0, options.max_mojibake_share, _TASK),
        *_by_kind(options, kind),
    ]


def _by_kind(options: GateTask, kind: str) -> list[Check]:
    """The expectations that hold for some kinds of task."""
    right = f"{_TASK}; where they are right, and words tell of a label beside theirs, raise gate_task.max_label_shift"
    shift = [between("labels_stand_with_their_texts", "task.label_shift", None, options.max_label_shift, right)]
    rare = "Add rows of these labels, or files of your own for validation and test: the scores tell nothing of them"
    balance = "Add rows of the other labels, or raise gate_task.max_label_share"
    several = [
        between("labels_are_several", "task.distinct_labels", 2, None, _TASK),
        between("labels_are_balanced", "task.largest_label_share", 0, options.max_label_share, balance),
    ]
    pairs = [
        none("texts_of_a_pair_differ", "rows.same_text", _ROW, mostly=0.9),
        none("columns_are_not_swapped", "task.columns_swapped", _TASK),
    ]
    listed = [
        none("labels_are_known", "labels.unknown", _ROW),
        none("every_label_is_trained", "task.labels_not_in_train", _TASK),
        none("validation_has_every_label", "task.labels_not_in_validation", rare, severity="warning"),
        none("test_has_every_label", "task.labels_not_in_test", rare, severity="warning"),
        between("splits_are_of_one_balance", "splits.imbalance", 0, 0.25, _TASK, severity="warning"),
    ]
    return {
        "classification": [*listed, *several, *shift],
        "pair": [*listed, *several, *shift, *pairs],
        "tagging": [none("tags_are_in_order", "rows.tags_fault", _ROW), *listed, *several, *shift],
        "regression": [
            *several,
            *shift,
            *pairs,
            none("targets_are_of_one_scale", "rows.off_scale", _ROW, mostly=0.9999, severity="warning"),
        ],
        "span": [
            none("answers_stand_at_their_offsets", "rows.answers_fault", _ROW),
            between("questions_have_answers", "task.answered_share", 0.05, 1, _TASK),
        ],
    }[kind]
