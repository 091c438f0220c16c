"""One target under atheris, which watches the branches of our own code: ``python -m tests.fuzz.engine TARGET ...``."""

import sys
import warnings

import atheris

with atheris.instrument_imports(include=["apidanalytics"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    warnings.simplefilter("error")
    target, *arguments = sys.argv[1:]
    # Merging starts the command anew, by a shell.
    atheris.Setup([f"{sys.executable} -m tests.fuzz.engine {target}", *arguments], TARGETS[target])
    atheris.Fuzz()
