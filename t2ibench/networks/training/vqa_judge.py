"""Training of the small network that answers questions about images of a data set with attributes.

It learns from questions that the vocabulary and the captions of the data set make, whose answers follow from the
attributes of each image:

- does it show one literal ("Does this person have long hair?"), in all of its wordings, for every image of a batch;
- is a text of several literals true, in which one of them is wrong half of the time;
- is a caption true, of its own image and of the others of the batch;
- what is the value of an attribute ("What is the hair colour?").

A literal that cannot be seen in an image has no answer there and adds no loss.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import to_float
from t2ibench.core.ranges import Count, NotNegative, Positive
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.core.settings import configure
from t2ibench.data.attributes import canonical, indicators, literal_set
from t2ibench.data.split import Split, Vocabulary
from t2ibench.networks import weights
from t2ibench.networks.attribute_judge.calibration import calibration_error, fit_temperature
from t2ibench.networks.augment import augment
from t2ibench.networks.clip.zero_shot import single_texts
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, warmup_cosine
from t2ibench.networks.state import resume
from t2ibench.networks.vqa.contract import NO, YES
from t2ibench.networks.vqa.judge import Network, VqaJudge, numbered, words_of
from t2ibench.networks.vqa.questions import ONE_WORD, VQA_SCORE, about, asked, filled, which

PARTS = ("vqa-judge",)
SPLITS = {"vqa-judge": (("balanced-train",), "balanced-test")}
SHOWS = (
    VQA_SCORE,
    'Does this figure show "{}"? Please answer Yes or No.',
    'Does this image show "{}"? Answer the question with Yes or No.',
)
ASKS = ("{}", ONE_WORD, "{} Please answer yes or no.")
UNSEEN = -1  # the answer of a literal that cannot be seen


@dataclass(frozen=True)
class Config:
    widths: tuple[Count, ...] = (16, 32, 48, 64)  # channels of each stage; each halves the side
    features: Count = 96
    embedding: Count = 48  # of a word
    hidden: Count = 96  # channels of the convolutions over words
    batch: Count = 128
    texts: Count = 48  # composed texts in a batch, and as many captions
    wordings: Count = 2  # questions about each literal in a batch
    learning_rate: Positive = 3e-3
    weight_decay: NotNegative = 0.02
    calibration: Count = 1000  # the last images of the training split, kept out of training to fit the temperature


class Literals:
    """The literals that a vocabulary names, what every image of a split shows of them, and how they are said.

    names: "attribute=value".
    shown: int8 [N, L], 1 for an image that shows the literal, 0 for one that shows another value, else UNSEEN.
    """

    def __init__(self, split: Split, vocabulary: Vocabulary) -> None:
        assert split.attributes is not None
        self.vocabulary = vocabulary
        self.names = [name for name in literal_set(vocabulary) if name.partition("=")[0] in split.attributes]
        self.place = {name: number for number, name in enumerate(self.names)}
        self.attribute = [name.partition("=")[0] for name in self.names]
        values = canonical(split.attributes, dict.fromkeys(self.attribute))
        hidden = np.stack([values[name].isna().to_numpy() for name in self.attribute], 1)
        self.shown = np.where(hidden, UNSEEN, indicators(values, self.names)).astype(np.int8)
        self.phrases = []
        for name in self.names:
            attribute, _, value = name.partition("=")
            self.phrases.append([*vocabulary.phrases[attribute][value], *vocabulary.also.get(name, ())])

    def question(self, number: int, draw: np.ndarray) -> str:
        """A question for one literal. draw: three numbers in [0, 1) that choose its words."""
        phrases = self.phrases[number]
        phrase = phrases[int(draw[0] * len(phrases))]
        kind = int(draw[1] * 4)
        if kind < 2:
            return filled(ASKS[int(draw[2] * len(ASKS))], asked(self.vocabulary, *phrase))
        return filled(SHOWS[int(draw[2] * len(SHOWS))], single_texts(self.vocabulary, phrase)[kind - 2])

    def text(self, numbers: Sequence[int], draws: np.ndarray) -> str:
        """A text that says several literals."""
        said = [self.phrases[n][int(draw * len(self.phrases[n]))] for n, draw in zip(numbers, draws, strict=True)]
        parts = [f"{verb} {text}" for verb, text in said]
        return f"{self.vocabulary.subject} {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}"

    def composed(self, row: int, seed: int) -> tuple[str, list[int]]:
        """A text of two to five literals that an image shows, and its literals. Half of the texts have one wrong."""
        draw = uniform(seed, 24)
        true = np.flatnonzero(self.shown[row] == 1)
        order = true[np.argsort(draw[: len(true)])] if len(true) <= 12 else true
        chosen = [int(number) for number in order[: 2 + int(draw[12] * 4)]]
        if draw[13] < 0.5 and chosen:
            at = int(draw[14] * len(chosen))
            others = [
                n for n, name in enumerate(self.attribute) if name == self.attribute[chosen[at]] and n != chosen[at]
            ]
            if others:
                chosen[at] = others[int(draw[15] * len(others))]
        return self.text(chosen, draw[16 : 16 + len(chosen)]), chosen

    def truth(self, rows: np.ndarray, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Whether every text is true of every image: int8 [B, T]; UNSEEN where that cannot be seen."""
        shown = self.shown[rows]
        columns = []
        for numbers in texts:
            of_text = shown[:, list(numbers)]
            columns.append(np.where((of_text == 0).any(1), 0, np.where((of_text == UNSEEN).any(1), UNSEEN, 1)))
        return np.stack(columns, 1).astype(np.int8)


class VqaRecipe:
    """Trains a `VqaJudge`; a `loop.Recipe`."""

    def __init__(self, config: Config, train: Split, val: Split, seed: int, device: torch.device) -> None:
        if train.attributes is None or train.vocabulary is None:
            raise UserError(
                f"{train.dataset} {train.name} has no attributes with a vocabulary: a VQA judge learns from questions "
                f"about them"
            )
        if len(train) < config.calibration + config.batch:
            raise UserError(
                f"{train.dataset} {train.name} has {len(train)} images, the VQA judge's recipe needs at least "
                f"{config.calibration + config.batch}"
            )
        self.config, self.train, self.val, self.seed, self.device = config, train, val, seed, device
        self.literals = Literals(train, train.vocabulary)
        table = train.attributes
        self.attributes = {
            name: sorted(map(str, table[name].dropna().unique())) for name in sorted(map(str, table.columns))
        }
        answers = {value for values in self.attributes.values() for value in values}
        self.values = sorted(answers - {"yes", "no"}) or ["none"]
        self.open = [name for name, values in self.attributes.items() if not {"yes", "no"} & set(values)]
        self.words = {word: number for number, word in enumerate(self._all_words(), 1)}
        place = {value: number for number, value in enumerate(self.values)}
        self.labels = (
            torch.from_numpy(np.stack([table[name].map(place).fillna(-1).to_numpy(np.int64) for name in self.open], 1))
            if self.open
            else torch.empty(len(train), 0, dtype=torch.int64)
        )
        self.size = train.images.read([0]).shape[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "vqa-judge", "weights"))
            self.network = Network(len(self.words), 2 + len(self.values), *self._sizes())
        self.network.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.pixels = Ahead(lambda index: self.train.images.read(self.rows(index)))
        self.settings = {**asdict(config), "seed": seed, "train": train.digest}
        self.facts = {
            "data": {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest},
            "seed": seed,
            "optimised_for": "scoring",
        }

    def _sizes(self) -> tuple[Sequence[int], int, int, int, int]:
        config = self.config
        return config.widths, config.features, self.size, config.embedding, config.hidden

    def _all_words(self) -> list[str]:
        """Every word of the captions, of the phrases and of the questions, in order."""
        texts = [text for captions in self.train.captions for text in captions]
        texts += [f"{verb} {text}" for phrases in self.literals.phrases for verb, text in phrases]
        vocabulary = self.literals.vocabulary
        texts += [asked(vocabulary, verb, "x") for verb in ("is", "has", "wears")]
        texts += [text for phrase in (("is", ""), ("has", "")) for text in single_texts(vocabulary, phrase)]
        texts += [*SHOWS, *ASKS, *map(which, self.attributes), "and"]
        return sorted({word for text in texts for word in words_of(text)} - {"x"})

    def rows(self, index: int) -> np.ndarray:
        """The images of the batch of step `index`."""
        count = len(self.train) - self.config.calibration
        return batch_rows(derive_seed(self.seed, "vqa-judge"), index, count, self.config.batch)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.network, self.network, "look")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        config, rows = self.config, self.rows(index)
        images = augment(to_float(torch.from_numpy(self.pixels(index))), derive_seed(self.seed, "vqa-judge", index))
        questions, truth, own = self._batch(rows, derive_seed(self.seed, "questions", index))
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * warmup_cosine(progress)
        self.network.train()
        features = self.network.look(images.to(self.device).contiguous(memory_format=torch.channels_last))
        words = numbered(questions, self.words).to(self.device)
        conditions, topics, is_open = self.network.read(words)
        closed, singles = len(questions) - len(self.open), config.wordings * len(self.literals.names)
        loss_of = answer_loss(
            self.network.log_yes(features, conditions[:closed], words[:closed]), truth.to(self.device)
        )
        known = (truth != UNSEEN).to(self.device)
        losses = {"singles": mean_where(loss_of[:, :singles], known[:, :singles])}
        mine = torch.zeros_like(known)
        mine[own, torch.arange(singles, closed, device=self.device)] = True
        losses["own"] = mean_where(loss_of, mine & known)
        said = truth.to(self.device)
        for name, value in (("true", 1), ("false", 0)):
            losses[name] = mean_where(loss_of[:, singles:], said[:, singles:] == value)
        targets = (torch.arange(len(questions), device=self.device) >= closed).float()
        losses["kind"] = F.binary_cross_entropy_with_logits(is_open, targets)
        losses["open"] = self._open_loss(features, topics[closed:], rows)
        total = 20 * losses["singles"] + losses["own"] + 0.5 * (losses["true"] + losses["false"])
        total = total + losses["kind"] + 5 * losses["open"]
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _batch(self, rows: np.ndarray, seed: int) -> tuple[list[str], Tensor, Tensor]:
        """The questions of a batch, whether the answer is yes for each image (int8 [B, closed questions]), and the row
        of the own image of each composed text and caption.

        The order: `wordings` questions for every literal, composed texts, captions, open questions.
        """
        literals, count = self.literals, min(self.config.texts, len(rows))
        numbers = list(range(len(literals.names))) * self.config.wordings
        draws = uniform(derive_seed(seed, "wording"), 3 * len(numbers)).reshape(-1, 3)
        questions = [literals.question(number, draw) for number, draw in zip(numbers, draws, strict=True)]
        asked_for: list[Sequence[int]] = [[number] for number in numbers]
        own = []
        templates = uniform(derive_seed(seed, "templates"), 4 * count)
        for place in range(count):
            text, chosen = literals.composed(int(rows[place]), derive_seed(seed, "composed", place))
            questions.append(filled(SHOWS[int(templates[place] * len(SHOWS))], text))
            asked_for.append(chosen)
            own.append(place)
        mentions = self.train.mentions
        for place in range(len(rows) - count, len(rows)) if mentions is not None else ():
            row, number = int(rows[place]), place - (len(rows) - count)
            at = int(templates[count + number] * len(self.train.captions[row]))
            known = [literals.place[name] for name in mentions[row][at] if name in literals.place] if mentions else []
            template = SHOWS[int(templates[2 * count + number] * len(SHOWS))]
            questions.append(filled(template, self.train.captions[row][at]))
            asked_for.append(known)
            own.append(place)
        endings = uniform(derive_seed(seed, "endings"), max(1, len(self.open)))
        questions += [
            filled("{}" if ending < 0.5 else ONE_WORD, which(name))
            for name, ending in zip(self.open, endings, strict=False)
        ]
        truth = torch.from_numpy(literals.truth(rows, asked_for))
        return questions, truth, torch.tensor(own, dtype=torch.int64, device=self.device)

    def _open_loss(self, features: Tensor, topics: Tensor, rows: np.ndarray) -> Tensor:
        labels = self.labels[torch.from_numpy(rows)].to(self.device)  # [B, open]
        if not self.open:
            return features.sum() * 0
        logits = self.network.values(features[:, None], topics[None])  # [B, open, values]
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1)

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"network": self.network, "optimizer": self.optimizer}, state)

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, and a config with words, answers, sizes and the temperature, fitted on images kept for it."""
        sizes = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self.config).items()
            if key in ("widths", "features", "embedding", "hidden")
        }
        config = {"words": list(self.words), "values": self.values, "temperature": 1.0, "size": self.size, **sizes}
        kept = np.arange(len(self.train) - self.config.calibration, len(self.train))
        stated, shown = self._single(self._judge(config), self.train.take(kept), self.literals.shown[kept])
        odds = np.log(stated.clip(1e-12)) - np.log((1 - stated).clip(1e-12))
        logits = torch.from_numpy(np.stack([odds, np.zeros_like(odds)], 2)[shown != UNSEEN])
        labels = torch.from_numpy(1 - shown[shown != UNSEEN]).long()
        return self.network.state_dict(), {**config, "temperature": fit_temperature(logits, labels)}

    def _single(self, judge: VqaJudge, split: Split, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(yes | yes or no) of every image and literal, [N, L], by one wording of each; and what the images show."""
        questions = [filled(ONE_WORD, about(self.literals.vocabulary, name)) for name in self.literals.names]
        given = pairwise_answers(judge, split, questions)
        return given[..., 0] / given.sum(2).clip(1e-12), shown

    def validate(self) -> dict[str, Any]:
        """Numbers on the validation split, with the weights as they are shipped, in half precision.

        Of every attribute: the balanced accuracy of yes and no over its literals, and the calibration error. Then how
        often a composed text that is true, and one with a wrong literal, is answered rightly.
        """
        judge = self._judge(self.result()[1])
        literals = Literals(self.val, self.literals.vocabulary)
        stated, shown = self._single(judge, self.val, literals.shown)
        numbers: dict[str, Any] = {}
        for name in dict.fromkeys(literals.attribute):
            rates, errors = [], []
            for column in [k for k, attribute in enumerate(literals.attribute) if attribute == name]:
                seen = shown[:, column] != UNSEEN
                true, p = shown[seen, column] == 1, stated[seen, column]
                if true.any() and not true.all():
                    rates.append(((p[true] > 0.5).mean() + (p[~true] <= 0.5).mean()) / 2)
                    right = torch.from_numpy((p > 0.5) == true)
                    errors.append(calibration_error(torch.from_numpy(np.maximum(p, 1 - p)), right))
            if rates:
                numbers[name] = {
                    "balanced_accuracy": round(float(np.mean(rates)), 4),
                    "worst_literal": round(float(np.min(rates)), 4),
                    "ece": round(float(np.mean(errors)), 4),
                }
        rows = range(min(2000, len(self.val)))
        texts = [literals.composed(row, derive_seed("validate", row)) for row in rows]
        questions = [filled(VQA_SCORE, text) for text, _ in texts]
        truth = np.array(
            [literals.truth(np.array([row]), [chosen])[0, 0] for row, (_, chosen) in zip(rows, texts, strict=True)]
        )
        images = list(self.val.images.read(list(rows)))
        answers = judge.answers(images, list(rows), questions, (YES, NO))
        numbers["composed"] = {
            name: round(float((answers.chosen[truth == value] == number).mean()), 4)
            for name, value, number in (("true", 1, 0), ("one_wrong", 0, 1))
            if (truth == value).any()
        }
        return numbers

    def _judge(self, config: Mapping[str, Any]) -> VqaJudge:
        shipped = {
            key: value.half().float() if value.is_floating_point() else value
            for key, value in self.network.state_dict().items()
        }
        given = json.loads(json.dumps(config, sort_keys=True))
        return VqaJudge(weights.Weights("vqa-judge", shipped, given, {}, ""), self.device)


def answer_loss(log_yes: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of the answers yes and no [B, T], from log P(yes) and whether yes is right (1, 0)."""
    log_no = torch.log(-torch.expm1(log_yes))
    return -torch.where(truth == 1, log_yes, log_no)


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen values; 0 if none is."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def pairwise_answers(judge: VqaJudge, split: Split, questions: Sequence[str], block: int = 500) -> np.ndarray:
    """P(yes) and P(no) of every image for every question, [N, T, 2]."""
    found = []
    for start in range(0, len(split), block):
        images = list(split.images.read(range(start, min(start + block, len(split)))))
        rows = [row for row in range(len(images)) for _ in questions]
        answers = judge.answers(images, rows, [*questions] * len(images), (YES, NO))
        found.append(answers.probabilities.reshape(len(images), len(questions), 2))
    return np.concatenate(found).astype(np.float64)


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> VqaRecipe:
    """How the VQA judge is trained.

    Raises UserError for an unknown part or setting, or a split without attributes that can be named.
    """
    if part not in PARTS:
        raise UserError(f"vqa_judge has no part {part!r}{did_you_mean(part, PARTS)}")
    return VqaRecipe(configure(Config, settings, f"vqa_judge {part}"), train, val, seed, models.device)
