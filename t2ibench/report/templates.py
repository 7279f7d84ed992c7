"""HTML pages out of the templates of the package: a name that is not given is an error, and what is given is
escaped.
"""

import jinja2


def environment(folder: str) -> jinja2.Environment:
    """Where the templates in a folder of the package are found and filled in."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("t2ibench", folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
