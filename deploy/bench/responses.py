"""What a server answers, in a format that two servers can be compared by.

    responses.py fetch arena|postgres URL [FILE...]    asks every request of the profile; FILEs are of /static/
    responses.py rows REQUEST                          the rows of a database, as JSON on standard input

Prints a line for each request, with tabs between: the request, the status, the items, a digest of the content (of JSON
by its meaning, 10.0 being 10; of anything else by its bytes), and last, for information, the bytes on the wire.
"""

import gzip
import hashlib
import http.client
import json
import sys
from urllib.parse import urlsplit

SECONDS = 20
GZIP = {"Accept-Encoding": "gzip"}
JSON_PAIRS = [(1, 3), (5, 7), (10, 2), (15, 5), (25, 4), (40, 8), (50, 6)]
UPLOAD = b"x" * (1 << 20)


def arena(files):
    """Everything that the arena profile measures, and its neighbours."""
    yield "GET", "/pipeline", {}, None
    for a, b in [(13, 42), (1, 1), (-5, 3)]:
        yield "GET", f"/baseline11?a={a}&b={b}", {}, None
        yield "POST", f"/baseline11?a={a}&b={b}", {}, b"20"
        yield "POST", f"/baseline11?a={a}&b={b}", {"Transfer-Encoding": "chunked"}, [b"20"]
    for count, factor in JSON_PAIRS:
        yield "GET", f"/json/{count}?m={factor}", {}, None
        yield "GET", f"/json/{count}?m={factor}", GZIP, None
    for path in ("/compression", "/compression-per-request"):
        yield "GET", path, {}, None
        yield "GET", path, GZIP, None
    for least, most in [(10, 50), (1, 500), (400, 410), (60, 50)]:
        yield "GET", f"/db?min={least}&max={most}", {}, None
    yield "POST", "/upload", {}, UPLOAD
    for name in files:
        for accepted in ({}, GZIP, {"Accept-Encoding": "br;q=1, gzip;q=0.8"}):
            yield "GET", f"/static/{name}", accepted, None
    yield from postgres(files)


def postgres(_files):
    """The rows that the postgres profile measures."""
    for limit in (1, 5, 10, 20, 35, 50):
        yield "GET", f"/async-db?min=10&max=50&limit={limit}", {}, None


def fetch(profile, url, files):
    """Asks, one after the other on one connection, and prints."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=SECONDS)
    for method, path, fields, body in profile(files):
        chunked = "Transfer-Encoding" in fields
        connection.request(method, path, body, fields, encode_chunked=chunked)
        answer = connection.getresponse()
        body = answer.read()
        name = " ".join([method, path, *(f"{key}: {value}" for key, value in fields.items())])
        coding = answer.getheader("Content-Encoding", "identity")
        kind = answer.getheader("Content-Type", "").partition(";")[0]
        show(name, f"{answer.status} {coding}", kind, coding, body)


def show(name, status, kind, coding, body):
    """One line."""
    items = "-"
    content = body
    if kind == "application/json" and not path_of(name).startswith("/static/"):
        document = json.loads(gzip.decompress(body) if coding == "gzip" else body, parse_float=number)
        items = len(document["items"])
        content = json.dumps(document, sort_keys=True).encode()
    print(name, status, items, hashlib.sha256(content).hexdigest(), len(body), sep="\t")


def path_of(name):
    """The path of a request as it is printed."""
    return name.split(" ")[1]


def number(text):
    """A number with a point; it is the same as the integer of its value."""
    value = float(text)
    return int(value) if value.is_integer() else value


def main():
    match sys.argv[1:]:
        case ["fetch", "arena", url, *files]:
            fetch(arena, url, files)
        case ["fetch", "postgres", url, *files]:
            fetch(postgres, url, files)
        case ["rows", name]:
            show(name, "200 identity", "application/json", "identity", sys.stdin.buffer.read())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
