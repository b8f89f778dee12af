"""The training images of `dcgan-emoji`: `python benchmarks/emoji_people.py NOTO FLUENT OUT`.

NOTO and FLUENT are zips of Noto emoji and of Fluent emoji (3D style); each image is named by its code points,
such as emoji_u1f469_1f3fd_200d_1f33e.png or 1f469-1f3fd-200d-1f33e.webp. OUT gets the heads and busts of one
person, in all skin tones: no couples, families or wheelchairs, and no whole figures. Images that decode to
the same pixels are written once. The name of an image in OUT begins with its set.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import zipfile
from pathlib import Path

from PIL import Image

IGNORED = re.compile("200d|fe0f|1f3f[b-f]")  # joiners and skin tones
# a child, a man, a woman, faces of all ages, gestures, roles (a detective, a king, a guard) and fantasy
PEOPLE = re.compile("1f(385|46[6-9e]|47[0-8c]|48[1267]|575|64[567bde]|926|93[4-7]|977|9cf|9d[1-59bd])")
# hearts, a second person, a child, a cane, wheelchairs, arrows that turn a figure around
NOT_ALONE = re.compile("2764|1f48b|1f91d|1f430|1f37c|1f9af|1f9bc|1f9bd|27a1")
SIDE = 64


def is_person(name: str) -> bool:
    """Whether a file shows the head or the bust of one person."""
    parts = re.split(r"[-_]", Path(name).stem.lower().removeprefix("emoji_u"))
    codes = [part for part in parts if not IGNORED.fullmatch(part)]
    others = any(PEOPLE.fullmatch(code) or NOT_ALONE.fullmatch(code) for code in codes[1:])
    return bool(codes) and PEOPLE.fullmatch(codes[0]) is not None and not others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("noto", type=Path)
    parser.add_argument("fluent", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    written: set[str] = set()
    with zipfile.ZipFile(options.out, "w") as new:
        for path in (options.noto, options.fluent):
            with zipfile.ZipFile(path) as source:
                for name in sorted(filter(is_person, source.namelist())):
                    image = Image.open(io.BytesIO(source.read(name))).convert("RGB")
                    image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
                    key = hashlib.sha256(image.tobytes()).hexdigest()
                    if key not in written:
                        written.add(key)
                        buffer = io.BytesIO()
                        image.save(buffer, "PNG")
                        set_name = path.stem.split("-")[0]
                        new.writestr(f"{set_name}-{Path(name).stem}.png", buffer.getvalue())
    print(f"{options.out}: {len(written):,} images")


if __name__ == "__main__":
    main()
