"""Texts on which an encoder must agree with the engine's own tokenizer before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Encode = Callable[[str, bool], list[int]]
"""(text, special) → ids, with `special` as in the engine contract's `Tokenizer.encode`."""

TEXTS: tuple[str, ...] = (
    "a",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    " \n ",
    "Hello, world!",
    " Hello",
    "hello  world",
    "Hello\nworld\n\n\nagain",
    "trailing space ",
    "   three before",
    "tabs\tand\t\tmore",
    "I'm you're they'll we've he'd it's don't",
    "I'M YOU'RE THEY'LL",
    "it’s a “quoted” — dash… and more",
    "0 1 12 123 1234 12345 3.14159 1,000,000",
    "2024-02-29T12:34:56Z",
    "v1.2.3-rc4+build567",
    "user@example.com https://example.com/a/b?c=d&e=%20#f",
    "def f(x):\n    return x ** 2  # square\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i]; }",
    "SELECT \"name\", count(*) FROM t WHERE a <> 'b' GROUP BY 1;",
    '{"key": [1, 2.5, null, true], "nested": {"a": "\\u00e9"}}',
    "<html><body class='x'>&nbsp;</body></html>",
    "# Title\n\n- item\n- **bold** and `code`\n\n```python\nprint('hi')\n```\n",
    "E = mc^2, ∑_{i=1}^n x_i ≤ √(a² + b²) ≈ ∞",
    "你好,世界!",
    "今天天气怎么样?我想去北京看看故宫。",
    "繁體中文與简体中文混排 mixed with English 123",
    "「日本語」のテキスト、カタカナとひらがな",
    "한국어 문장입니다. 띄어쓰기도 있어요.",
    "Привет, мир! Как дела?",
    "Ελληνικά και τόνοι",
    "שלום עולם",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "Größe, façade, naïve, Ærø, İstanbul, ß",
    "e\u0301 combining, o\u0308 too",
    "😀 😃😄 👍🏽 👨‍👩‍👧‍👦 🇩🇪 🎉🎉🎉",
    "zero\u200bwidth\u00a0nbsp\ufeffbom",
    "𝒳 𐍈 𠀀 rare planes",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
    "<s> </s> <unk> [INST] hi [/INST] <<SYS>>",
    "<|begin_of_text|><|start_header_id|>x<|end_header_id|><|eot_id|>",
    "<think>\nhm\n</think>\n<tool_call>{}</tool_call>",
    "< |im_end| > <|im_end <|not_a_token|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!!???...,,,;;;---___===***~~~",
    "CamelCase snake_case SCREAMING_CASE kebab-case dot.case",
)


def first_difference(
    candidate: Encode, reference: Encode, control_texts: Iterable[str]
) -> str | None:
    """The first text on which the two differ, or None; tried also between `control_texts`."""
    around = [f"a {text} b{text}\n" for text in control_texts]
    for text in (*TEXTS, *around):
        for special in (False, True):
            if candidate(text, special) != reference(text, special):
                return text
    return None
