"""Templates: sentences around a text, whose features are averaged.

`{}` stands for the text without its article, as in "a photo of a {}." IMAGENET are the 79 templates of StyleCLIP's
released code: OpenAI's 80 without "a photo of many {}."
"""

from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

PLAIN = ("{}",)
IMAGENET = tuple(
    text for text in (template("{}") for template in OPENAI_IMAGENET_TEMPLATES) if text != "a photo of many {}."
)
TEMPLATES = {"plain": PLAIN, "imagenet": IMAGENET}


def fill(template: str, text: str) -> str:
    """The template with the text filled in. The text loses its article unless the template begins with the text."""
    return template.format(text if template.startswith("{}") else bare(text))


def bare(text: str) -> str:
    """A text without the article that it begins with."""
    first, _, rest = text.strip().partition(" ")
    return rest.strip() if first.lower() in ("a", "an", "the") and rest.strip() else text.strip()
