"""How questions are put: the templates of published scores, and questions about the attributes of a data set."""

from collections.abc import Mapping, Sequence

from t2ibench.core.errors import UserError
from t2ibench.data.split import Vocabulary

# t2v_metrics 3.0; its 3.1 writes "Yes or No", and GenEval 2 "Does this image show …? Answer the question with Yes …"
VQA_SCORE = 'Does this figure show "{}"? Please answer yes or no.'
ONE_WORD = "{} Answer in one word."  # GenEval 2
FORMS: Mapping[str, str] = {"is": "Is {} {}?", "has": "Does {} have {}?", "wears": "Does {} wear {}?"}


def filled(template: str, text: str) -> str:
    """A template with a text in the place of its `{}`. The text may hold braces.

    Raises UserError for a template without exactly one place.
    """
    if template.count("{}") != 1:
        raise UserError(f"template {template!r}: expected one {{}}, where the text goes, found {template.count('{}')}")
    return template.replace("{}", text)


def about(vocabulary: Vocabulary, literal: str, paraphrase: int = 0) -> str:
    """The yes-or-no question whether an image shows a literal "attribute=value".

    Raises UserError for a literal that the vocabulary cannot name.
    """
    attribute, _, value = literal.partition("=")
    phrases: Sequence[tuple[str, str]] = vocabulary.phrases.get(attribute, {}).get(value, ())
    if not phrases:
        raise UserError(f"the vocabulary has no words for {literal}, so no question can be asked about it")
    verb, text = phrases[paraphrase % len(phrases)]
    return asked(vocabulary, verb, text)


def asked(vocabulary: Vocabulary, verb: str, text: str) -> str:
    """A phrase as a question: ("has", "long hair") becomes "Does this person have long hair?"."""
    return FORMS[verb].format(vocabulary.subject, text)


def which(attribute: str) -> str:
    """The open question for the value of an attribute: "hair_colour" becomes "What is the hair colour?"."""
    return f"What is the {attribute.replace('_', ' ')}?"
