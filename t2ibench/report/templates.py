"""Makes HTML pages from the templates of the package. A value that a template lacks is an error; values are escaped."""

import jinja2


def environment(folder: str) -> jinja2.Environment:
    """The Jinja environment for the templates in one folder of the package."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("t2ibench", folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
