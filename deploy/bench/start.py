"""Makes a site of small files: start.py DIRECTORY FILES.

HTML, CSS, JavaScript, JSON and bytes that do not compress, by turns, 1 to 8 kB each, half of them in directories
of their own. The same arguments make the same bytes.
"""

import os
import random
import string
import sys

LEAST, MOST = 1_000, 8_000
SHAPES = {
    "html": '<p class="{}">{} {}</p>\n',
    "css": ".{} {{ color: {}; margin: {}; }}\n",
    "js": "const {} = ({}) => {};\n",
    "json": '{{"{}": "{} {}"}}\n',
    "png": None,
}


def main():
    directory, count = sys.argv[1], int(sys.argv[2])
    rng = random.Random(count)
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 10))) for _ in range(3_000)]
    endings = list(SHAPES)
    for at in range(count):
        ending = endings[at % len(endings)]
        below = os.path.join(directory, *([f"d{at % 100}", f"e{at % 7}"] if at % 2 else []))
        os.makedirs(below, exist_ok=True)
        with open(os.path.join(below, f"{at}.{ending}"), "wb") as file:
            file.write(body(rng, words, SHAPES[ending], rng.randint(LEAST, MOST)))


def body(rng, words, shape, size):
    if shape is None:
        return rng.randbytes(size)
    lines = []
    while size > 0:
        lines.append(shape.format(*rng.choices(words, k=3)))
        size -= len(lines[-1])
    return "".join(lines).encode()


main()
