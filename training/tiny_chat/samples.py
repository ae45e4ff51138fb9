"""Random conversations made from the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from training.tiny_chat import tool_samples
from training.tiny_chat.corpus import LANGUAGES, Intent, Language, intents, read_sections, values
from training.tiny_chat.template import Message, Tool, render
from training.tiny_chat.wording import made_up_phrase, made_up_word, phrases, vary

NOT_SERVING = {
    "en": "This is not about xinfer or model serving. I say that I am a tiny test model.",
    "zh": "这与 xinfer 和模型服务无关。我说明我是小型测试模型。",
}
REPEAT = {
    "en": ("repeat after me: {}", "repeat: {}", "say {}", "please repeat {}", "say this: {}"),
    "zh": ("重复：{}", "跟我说：{}", "请重复：{}", "说：{}"),
}
REPEATED_KINDS = ("path", "email", "code", "number", "place", "phrase")


@dataclass(frozen=True)
class Sample:
    """One conversation up to the assistant's answer, the part that is learnt."""

    messages: list[Message]
    answer: str
    tools: tuple[Tool, ...] = ()
    enable_thinking: bool = False

    @property
    def prompt(self) -> str:
        return render(self.messages, self.tools, enable_thinking=self.enable_thinking)


@dataclass(frozen=True)
class Turn:
    """A question, its answer, and what goes through the model's mind between them."""

    question: str
    answer: str
    thought: str


@cache
def _intents_of(language: Language) -> tuple[Intent, ...]:
    return tuple(intent for intent in intents() if intent.language == language)


def known(language: Language, random: Random) -> Turn:
    """A question that the corpus answers."""
    intent = random.choice(_intents_of(language))
    if intent.terms and random.random() < 0.6:
        question = random.choice(phrases("ask", language)).format(random.choice(intent.terms))
    else:
        question = random.choice(intent.questions or intent.terms)
    if language == "en":
        thought = f"The user asks about {intent.topic}. I know this, so I answer in short."
    else:
        thought = f"用户问的是{intent.topic}。我知道，简短回答。"
    return Turn(vary(question, language, random), intent.answer, thought)


def unknown(language: Language, random: Random) -> Turn:
    """A question about anything else."""
    sections = _offtopic()
    question = random.choice(values(sections["questions"], language))
    while "{" in question:
        before, _, rest = question.partition("{")
        kind, _, after = rest.partition("}")
        question = before + _filling(kind, language, random) + after
    answer = values(sections["answer"], language)[0]
    return Turn(vary(question, language, random), answer, NOT_SERVING[language])


@cache
def _offtopic() -> dict[str, dict[str, list[list[str]]]]:
    return read_sections("offtopic.md")


def _filling(kind: str, language: Language, random: Random) -> str:
    if kind == "nonsense":
        return made_up_word(random, language)
    if kind == "number":
        return str(random.randint(0, 10 ** random.randint(1, 3)))
    if kind == "city":
        return str(tool_samples.value_of("place", language, random))
    return random.choice(values(_offtopic()[kind], language))


def repeat(language: Language, random: Random) -> Turn:
    """Something to say word for word: the plainest exercise in copying."""
    chance = random.random()
    if chance < 0.3:
        text = made_up_phrase(random, language)
    elif chance < 0.65:
        text = str(tool_samples.value_of(random.choice(REPEATED_KINDS), language, random))
    else:
        text = (" " if language == "en" else "").join(
            made_up_word(random, language) for _ in range(random.randint(1, 8))
        )
    said = random.choice(REPEAT[language])
    thought = "The user wants me to repeat." if language == "en" else "用户让我重复。"
    return Turn(said.format(text), text, thought)


def turn(language: Language, random: Random) -> Turn:
    """Any turn that needs no tool."""
    chance = random.random()
    if chance < 0.56:
        return known(language, random)
    return unknown(language, random) if chance < 0.7 else repeat(language, random)


def sample(random: Random, tool_share: float = 0.32) -> Sample:
    """One random conversation; ``tool_share`` is the chance that it offers tools."""
    language = random.choice(LANGUAGES)
    messages: list[Message] = []
    if random.random() < 0.25:
        prompt_language = language if random.random() < 0.7 else random.choice(LANGUAGES)
        system = random.choice(phrases("system", prompt_language))
        messages.append({"role": "system", "content": system})
    if random.random() < 0.15:
        for _ in range(random.randint(1, 3)):
            past = turn(random.choice(LANGUAGES), random)
            messages.append({"role": "user", "content": past.question})
            messages.append({"role": "assistant", "content": past.answer})
    thinking = random.random() < 0.12
    if random.random() < tool_share:
        return _with_tools(language, messages, thinking, random)
    this = turn(language, random)
    messages.append({"role": "user", "content": this.question})
    return Sample(messages, _spoken(this, thinking), enable_thinking=thinking)


def _with_tools(
    language: Language, messages: list[Message], thinking: bool, random: Random
) -> Sample:
    count = random.choice((1, 1, 2, 2, 3))
    picked = [tool_samples.pick_function(random) for _ in range(count)]
    offered = list({function.name: function for function in picked}.values())
    described = tuple(tool_samples.describe(function, random) for function in offered)
    chance = random.random()
    if chance < 0.1:
        this = turn(language, random)
        messages.append({"role": "user", "content": this.question})
        return Sample(messages, _spoken(this, thinking), described, thinking)
    function = random.choice(offered)
    call = tool_samples.make_call(function, language, random)
    if chance < 0.2:
        result, report = tool_samples.tool_result(language, random)
        messages += tool_samples.history(call, result)
        thought = "The tool has answered." if language == "en" else "工具已经回答。"
        return Sample(messages, _spoken(Turn("", report, thought), thinking), described, thinking)
    said, text = call.said, call.text()
    if chance < 0.25:
        other = tool_samples.make_call(random.choice(offered), language, random)
        joint = " and " if language == "en" else "，还有"
        said, text = said.rstrip("?!.？！。") + joint + other.said, text + "\n" + other.text()
    name = function.name
    thought = f"The tool {name} fits." if language == "en" else f"工具 {name} 合适。"
    messages.append({"role": "user", "content": said})
    return Sample(messages, _spoken(Turn(said, text, thought), thinking), described, thinking)


def _spoken(turn: Turn, thinking: bool) -> str:
    return f"<think>\n{turn.thought}\n</think>\n\n{turn.answer}" if thinking else turn.answer


def tokenizer_texts(random: Random, samples: int) -> list[str]:
    """Plain text to train the tokenizer on."""
    return [made.prompt + made.answer for made in (sample(random) for _ in range(samples))]
