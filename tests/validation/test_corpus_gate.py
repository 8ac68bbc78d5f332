"""gate_corpus: its thresholds, its language, and what it says; the faults it finds are in test_faults.py."""

from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Documents, Params
from bertline.base.errors import BertlineError
from bertline.base.files import write_json
from bertline.base.gate_config import GateCorpus
from bertline.corpus.clean import normalise
from bertline.stages import documents, gate_corpus
from bertline.validation.corpus import corpus_frames
from bertline.validation.frames import Frame
from bertline.validation.language import count_function_words
from bertline.validation.near_duplicates import near_copies, sketch
from bertline.validation.patterns import MOJIBAKE
from clean_run import PARAMS
from faults import change_json, corpus


def test_too_few_documents_are_told_with_the_option_to_change(clean_copy: Artifacts) -> None:
    params = replace(PARAMS, gate_corpus=replace(PARAMS.gate_corpus, min_documents=50_000))
    message = r"documents_are_enough.*at least 50,000, found \d+.*gate_corpus.min_documents"
    with pytest.raises(BertlineError, match=message):
        gate_corpus.run(params, clean_copy)


def test_text_in_the_language_asked_for_passes_and_english_does_not(clean_copy: Artifacts) -> None:
    russian = replace(PARAMS, documents=replace(PARAMS.documents, language="ru"))
    with pytest.raises(BertlineError, match="text_is_letters"):
        gate_corpus.run(russian, clean_copy)
    for split in ("train", "validation"):
        corpus.change(split, lambda rows: [_in_cyrillic(row) for row in rows])(clean_copy)
    assert gate_corpus.run(russian, clean_copy)["warnings"] == 0


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ka", "საქართველო არის ქვეყანა კავკასიის რეგიონში."),
        ("hy", "Հայաստանը պետություն է Հարավային Կովկասում։"),
        ("tt", "Татарстан Республикасы Россия Федерациясе составына керә."),
        ("am", "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ ሀገር ናት።"),
        ("km", "ព្រះរាជាណាចក្រកម្ពុជា"),
        ("ckb", "کوردستان ناوچەیەکە لە ڕۆژهەڵاتی ناوەڕاست."),
        ("or", "ଓଡ଼ିଶା ଭାରତର ପୂର୍ବ ଉପକୂଳରେ ଅବସ୍ଥିତ ଏକ ରାଜ୍ୟ ଅଟେ।"),
        ("yue", "香港係一個位於中國南部嘅城市。"),
        ("sr", "Srbija je država koja se nalazi u jugoistočnoj Evropi."),
        ("sr", "Србија је држава која се налази у југоисточној Европи."),
        ("uz", "Oʻzbekiston Markaziy Osiyoda joylashgan davlat."),
        ("vi", "Việt Nam là một quốc gia nằm ở phía đông bán đảo Đông Dương."),
        ("zh-TW", "臺灣是一個島嶼，位於亞洲東部。"),
        ("dv", "ދިވެހިރާއްޖެއަކީ އިންޑިޔާ ކަނޑުގައި އޮންނަ ޤައުމެކެވެ"),
    ],
)
def test_a_text_is_judged_by_the_script_of_its_language_or_not_at_all(tmp_path: Path, language: str, text: str) -> None:
    frames = frames_of(tmp_path, Documents(language=language).language_code, [text, f"{text} 12"])
    assert frames["documents"].table["language_fault"].tolist() == [""]
    figures = frames["corpus"].figures("foreign_share", "own_letter_share")
    assert figures["foreign_share"] == 0 and figures["own_letter_share"] > 0.6


def frames_of(root: Path, language: str, sentences: list[str]) -> dict[str, Frame]:
    """What the gate sees of one document."""
    artifacts = Artifacts(root)
    artifacts.documents.mkdir(parents=True)
    row = {"id": f"{7:032x}", "source": "a.txt", "title": "T", "sentences": sentences}
    corpus.add_shard(artifacts, "train-00000.parquet", [row])
    return corpus_frames(artifacts.documents, language, {})


def _in_cyrillic(row: corpus.Row) -> corpus.Row:
    return {**row, "sentences": [corpus.cyrillic(text.lower()) for text in row["sentences"]]}


def test_text_that_lost_its_letters_in_decoding_does_not_pass(tmp_path: Path) -> None:
    sentence = "Das Mädchen läuft über die Straße mit der Nummer {} und grüßt."
    lines = [" ".join([sentence.format(number)] * 3) for number in range(60)]
    text = "\n\n".join(lines).encode("latin-1").decode("utf-8", "replace")
    artifacts = Artifacts(tmp_path)
    artifacts.raw.mkdir(parents=True)
    (artifacts.raw / "text.txt").write_text(text, encoding="utf-8")
    write_json(artifacts.raw / "manifest.json", {"sources": [{"path": "text.txt"}]})
    language = Documents(language="de", validation_fraction=0.2, near_duplicates=0)
    params = Params(documents=language, gate_corpus=GateCorpus(min_documents=10))
    documents.run(params, artifacts)
    with pytest.raises(BertlineError, match="encoding_is_intact"):
        gate_corpus.run(params, artifacts)


RUSSIAN = "Привет, это обычное русское предложение о том, что мы видели в городе."
EMOJI = "It was a very good day for all of us \N{GRINNING FACE WITH SMILING EYES} and that is that."


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252"])
@pytest.mark.parametrize(
    "text",
    [
        "He said “yes” — that’s what it was.",
        RUSSIAN,
        "Καλημέρα κόσμε, αυτή είναι μια πρόταση.",
        "هذه جملة عربية عادية جدا.",
        "这是一个普通的中文句子，没有什么特别。",
        "यह एक सामान्य हिन्दी वाक्य है।",
        "이것은 평범한 한국어 문장입니다.",
        EMOJI,
    ],
)
def test_utf8_that_was_read_as_another_encoding_and_then_cleaned_is_told(text: str, encoding: str) -> None:
    table = {byte: bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in range(256)}
    wrong = normalise("".join(table[byte] for byte in text.encode()))
    found = pc.match_substring_regex(pa.array([text, wrong]), MOJIBAKE).to_pylist()
    assert found == [False, True], wrong


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("fr", "Les élèves sont déjà là où les années de la première guerre ont été, dans le même pays.", 6),
        ("es", "Los niños y las niñas de la región están más allá, en el país de los árboles.", 10),
        ("de", "Für das Mädchen ist die Straße, die über den Fluß führt, auch noch schön.", 7),
        ("en", "This is the naïve Chloë of the café, not that one: ÀTO.", 7),
        ("vi", "Thành phố của nước ta.", 0),
    ],
)
def test_function_words_are_whole_words_whatever_the_accents_beside_them(language: str, text: str, count: int) -> None:
    assert count_function_words(pa.array([text, ""]), language).tolist() == [count, 0]


VIETNAMESE = (
    "Thành phố nằm giữa đồng bằng sông Hồng trù phú, nơi đây đã sớm trở thành một trung tâm chính trị, kinh tế và văn "
    "hóa của nước ta ngay từ những buổi đầu của lịch sử Việt Nam, và cũng là kinh đô của hầu hết các vương triều phong "
    "kiến trước đây."
)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", VIETNAMESE),
        ("es", VIETNAMESE),
        ("en", "Das Haus steht seit vielen Jahren leer, und niemand wollte es haben, weil der Garten so klein war."),
        ("ru", "The house has been empty for many years, and nobody wanted to have it."),
        ("ru", RUSSIAN.encode("cp1251").decode("latin-1")),
        ("zh", "The house has been empty for many years, and nobody wanted to have it."),
    ],
)
def test_a_document_in_another_language_is_told(tmp_path: Path, language: str, text: str) -> None:
    assert frames_of(tmp_path, language, [text, text])["documents"].table["language_fault"].item()


def test_a_share_below_its_threshold_is_let_pass(clean_copy: Artifacts) -> None:
    corpus.every(60, lambda row: row["sentences"].append("See <b>this</b> and that."))(clean_copy)
    assert gate_corpus.run(PARAMS, clean_copy)["markup_share"] > 0


def test_a_leaked_document_is_named_with_its_id_however_long_its_title(clean_copy: Artifacts) -> None:
    title = "A title as long as those of web pages, of chapters and of laws are, which leaves no room for anything else"
    corpus.every(1, lambda row: row.update(title=title))(clean_copy)
    corpus.leak(clean_copy)
    with pytest.raises(BertlineError, match="validation_is_not_in_train failed") as refused:
        gate_corpus.run(PARAMS, clean_copy)
    assert f'for example "{title[:79]}…" ({0:032x}); "{title[:79]}…" ({1:032x})' in str(refused.value)


def test_several_shards_are_looked_at_as_one_split(clean_copy: Artifacts) -> None:
    before = gate_corpus.run(PARAMS, clean_copy)
    rows = corpus.read_documents(clean_copy, "train")
    corpus.write_documents(clean_copy, "train", rows[1000:])
    (clean_copy.documents / "train-00000.parquet").rename(clean_copy.documents / "train-00001.parquet")
    corpus.add_shard(clean_copy, "train-00000.parquet", rows[:1000])
    assert gate_corpus.run(PARAMS, clean_copy) == before


def test_a_corpus_of_one_document_a_file_passes(clean_copy: Artifacts) -> None:
    for split in ("train", "validation"):
        corpus.change(split, lambda rows: [{**row, "source": f"{row['id']}.txt"} for row in rows])(clean_copy)
    assert gate_corpus.run(PARAMS, clean_copy)["warnings"] == 0


def test_a_directory_without_documents_is_told(clean_copy: Artifacts) -> None:
    for path in clean_copy.documents.glob("*.parquet"):
        path.unlink()
    none = {"train_documents": 0, "validation_documents": 0}
    change_json(clean_copy.metrics("documents"), lambda value: value.update(none))
    with pytest.raises(BertlineError, match="both_splits_are_there"):
        gate_corpus.run(PARAMS, clean_copy)


def test_near_copies_share_three_quarters_of_their_sentences() -> None:
    texts = [range(20), range(1, 21), range(100, 120), [*range(10), *range(200, 210)], [7], [7, 7]]
    sketches = np.array([sketch([crc32(str(n).encode()) for n in text]) for text in texts], np.uint64)
    found = near_copies(sketches)
    assert found[[0, 2, 4]].tolist() == [-1, -1, -1]
    assert found[5] == 4
    assert near_copies(sketches[:0]).tolist() == []
    many = np.array([sketch(range(n, n + 100)) for n in range(0, 9000, 100)] * 2, np.uint64)
    assert near_copies(many).tolist() == [-1] * 90 + list(range(90))


def test_near_copies_are_found_by_either_of_their_two_smallest_sentences_and_none_is_made_up() -> None:
    none = 2**64 - 1

    def copies(*sketches: list[int]) -> list[int]:
        return near_copies(np.array(sketches, np.uint64)).tolist()

    assert sketch([7, 7, 8]) == [7, 8, none, none]
    assert copies([1, 5, 6, 7], [2, 5, 6, 7]) == [-1, 0]
    assert copies([1, 5, 6, 7], [1, 5, 8, 9]) == [-1, -1]
    assert copies([1, 4, 5, 6], [2, 3, 4, 5], [1, 3, 4, 5]) == [-1, -1, 0], "the one of the smallest"
    assert copies([1, none, none, none], [1, 2, 3, 4]) == [-1, -1]
    assert copies([none] * 4, [none] * 4) == [-1, -1], "without a sentence"
