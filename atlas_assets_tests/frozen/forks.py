"""Runs of `atlas` in processes of their own, each a copy of one that has loaded what most load.

python -m atlas_assets_tests.frozen.forks < CALLS

CALLS is a list, in JSON, of calls: arguments and settings, as environment variables, of each. What
is printed is a list of their exit codes, standard outputs and standard errors.
"""

from __future__ import annotations

import json
import os
import sys
from tempfile import TemporaryFile

# loaded before the copies are made, which would otherwise spend most of their time on it
import atlas_assets.atlas.circuit
import atlas_assets.cli.app
from atlas_assets.cli import main

__all__ = ["atlas_assets"]


def called(arguments: list[str], settings: dict[str, str]) -> tuple[int, str, str]:
    """Call `atlas`; in the copy of this process this does not return."""
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        copy = os.fork()
        if not copy:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(settings)
            sys.argv[1:] = arguments
            main()
            raise SystemExit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


if __name__ == "__main__":
    answers = [called(*call) for call in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(answers))
