"""Checks a built APK: permissions, SDKs, ABIs, 16 KB pages; the signature was verified when it was made.

python3 check_apk.py APK
"""

import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

PAGE = 16384


def main() -> None:
    """Prints what the APK is; exits with a sentence where it is not as it has to be."""
    apk = Path(sys.argv[1])
    badging = subprocess.run(["aapt2", "dump", "badging", str(apk)], capture_output=True, text=True, check=True).stdout
    permissions = re.findall(r"uses-permission: name='([^']*)'", badging)
    if permissions != ["android.permission.CAMERA"]:
        sys.exit(f"{apk}: permissions {permissions}, expected the camera alone")
    sdks = re.search(r"sdkVersion:'(\d+)'.*?targetSdkVersion:'(\d+)'", badging, re.DOTALL)
    if not sdks or sdks.groups() != ("26", "35"):
        sys.exit(f"{apk}: SDK versions {sdks and sdks.groups()}, expected 26 and 35")
    with zipfile.ZipFile(apk) as archive, apk.open("rb") as stream:
        libraries = [entry for entry in archive.infolist() if entry.filename.endswith(".so")]
        for entry in libraries:
            stream.seek(entry.header_offset + 26)
            start = entry.header_offset + 30 + sum(struct.unpack("<HH", stream.read(4)))
            if entry.compress_type != zipfile.ZIP_STORED or start % PAGE:
                sys.exit(f"{apk}: {entry.filename} is not stored at a multiple of {PAGE} bytes")
            pages = segment_alignments(archive.read(entry))
            if min(pages) < PAGE:
                sys.exit(f"{apk}: {entry.filename} has segments aligned to {min(pages)} bytes")
    abis = sorted(entry.filename.split("/")[1] for entry in libraries)
    print(f"{apk.name}: {apk.stat().st_size / 1e6:.2f} MB, {', '.join(abis)}, SDK 26 to 35, camera only, 16 KB pages")


def segment_alignments(library: bytes) -> list[int]:
    """Returns the alignment of each loaded segment of a 64-bit ELF file."""
    (headers,), (count,) = struct.unpack_from("<Q", library, 32), struct.unpack_from("<H", library, 56)
    segments = [struct.unpack_from("<IIQQQQQQ", library, headers + 56 * index) for index in range(count)]
    return [segment[7] for segment in segments if segment[0] == 1]


if __name__ == "__main__":
    main()
