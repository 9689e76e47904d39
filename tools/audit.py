"""Known vulnerabilities of the pinned packages: ``make audit``.

pip-audit asks PyPI's database for each package of ``constraints.txt``, and installs nothing. By
itself it finds no vulnerability where the database does not answer; here that is said, and is no
success: exit code 0 means that every package was looked up and none is known to be vulnerable, 1
that one is, 2 that not all could be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"


def main() -> int:
    """Ask about every pinned package, print what is found, and return the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS)]
    command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        sys.stderr.write(f"nothing was audited: PyPI's database is not reachable\n  {said}\n")
        return 2
    skipped = [package["name"] for package in packages if "vulns" not in package]
    found = [(package, flaw) for package in packages for flaw in package.get("vulns", ())]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no version"
        sys.stdout.write(
            f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}\n"
        )
    looked_up = len(packages) - len(skipped)
    sys.stdout.write(f"{looked_up} packages looked up, {len(found)} known vulnerabilities\n")
    if skipped:
        named = ", ".join(skipped[:5]) + (", …" if len(skipped) > 5 else "")
        sys.stderr.write(
            f"{len(skipped)} packages were not audited, for PyPI's database did not answer for "
            f"them or does not know them: {named}\n"
        )
    return 1 if found else 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
