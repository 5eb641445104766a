"""Import of optional dependencies."""

import importlib
from types import ModuleType


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module of an optional dependency.

    Parameters
    ----------
    module : str
        Full name, for example ``"matplotlib.pyplot"``.
    extra : str
        The extra of this package that installs it.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed; the message holds the pip command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            # the package is there, something that it needs is not
            raise
        msg = f'{package} is not installed: run pip install "skhep-ml[{extra}]"'
        raise ModuleNotFoundError(msg, name=package) from error
