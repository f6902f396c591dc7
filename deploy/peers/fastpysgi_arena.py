"""The endpoints of deploy/arena.toml that the bench measures, as a WSGI application on FastPySGI.

    fastpysgi_arena.py --data DIR [--host ADDRESS] [--port N]

It is the peer that Pollux is compared with, and is meant to be as fast as this server allows: one process, files and
compressed bodies in memory from the start, JSON by orjson, SQLite on a connection of the thread with 256 MiB of mmap,
PostgreSQL (DATABASE_URL, at most DATABASE_MAX_CONN connections) through a pool with prepared statements. The body of
/compression is compressed once at the start, that of /compression-per-request for every request.
"""

import argparse
import gzip
import os
import sqlite3
import threading
from pathlib import Path
from urllib.parse import parse_qsl

import fastpysgi
import orjson
import psycopg
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
ITEM_COLUMNS = "id, name, category, price, quantity, active, tags, rating_score, rating_count"
SQLITE_ITEMS = f"SELECT {ITEM_COLUMNS} FROM items WHERE price BETWEEN ? AND ? LIMIT 50"
POSTGRES_ITEMS = f"SELECT {ITEM_COLUMNS} FROM items WHERE price BETWEEN %s AND %s LIMIT %s"
SQLITE_MMAP = 256 << 20
READ_BUFFER = 256 << 10
BACKLOG = 16 << 10
# How long a request waits for a connection to PostgreSQL, and how long one may take to be made.
POSTGRES_SECONDS = 2
# The effort of a compression that is done once, and of one that somebody waits for.
GZIP_ONCE = 9
GZIP_EACH = 1

TEXT = [("Content-Type", "text/plain")]
JSON = [("Content-Type", "application/json")]
GZIPPED = [*JSON, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
NO_ROWS = b'{"items":[],"count":0}'


class Arena:
    """What is answered from: everything is read here, before the first request."""

    def __init__(self, data):
        self.database = f"file:{data / 'benchmark.db'}?mode=ro"
        self.items = orjson.loads((data / "dataset.json").read_bytes())
        self.large = orjson.loads((data / "dataset-large.json").read_bytes())
        self.large_plain = with_totals(self.large, 1)
        self.large_gzipped = gzip.compress(self.large_plain, GZIP_ONCE)
        self.files = {f"/static/{name}": file for name, file in read_files(data / "static")}
        self.thread = threading.local()
        self.pool = open_pool()
        self.routes = {
            "/pipeline": self.pipeline,
            "/baseline11": self.sum,
            "/baseline2": self.sum,
            "/upload": self.upload,
            "/json": self.json,
            "/compression": self.compression,
            "/compression-per-request": self.compression_per_request,
            "/db": self.db,
            "/async-db": self.async_db,
        }

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        route = self.routes.get(path)
        if route is not None:
            status, fields, body = route(environ)
        elif path in self.files:
            status, fields, body = self.static(environ, self.files[path])
        elif path.startswith("/json/") and path[6:].isdigit():
            status, fields, body = self.json(environ, int(path[6:]))
        else:
            status, fields, body = "404 Not Found", TEXT, b"not found"
        start_response(status, [*fields, ("Content-Length", str(len(body)))])
        return [body]

    def pipeline(self, _environ):
        return "200 OK", TEXT, b"ok"

    def sum(self, environ):
        total = sum(integer(value) for _, value in parse_qsl(environ.get("QUERY_STRING", "")))
        if environ["REQUEST_METHOD"] == "POST":
            total += integer(environ["wsgi.input"].read())
        return "200 OK", TEXT, str(total).encode()

    def upload(self, environ):
        return "200 OK", TEXT, str(len(environ["wsgi.input"].read())).encode()

    def json(self, environ, count=None):
        factor = integer(query(environ).get("m", "1"))
        body = with_totals(self.items[:count], factor)
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            return "200 OK", GZIPPED, gzip.compress(body, GZIP_EACH)
        return "200 OK", JSON, body

    def compression(self, environ):
        if "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
            return "200 OK", JSON, self.large_plain
        return "200 OK", GZIPPED, self.large_gzipped

    def compression_per_request(self, environ):
        body = with_totals(self.large, 1)
        if "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
            return "200 OK", JSON, body
        return "200 OK", GZIPPED, gzip.compress(body, GZIP_EACH)

    def static(self, environ, file):
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "")
        for coding in ("br", "gzip"):
            if coding in accepted and coding in file:
                return "200 OK", *file[coding]
        return "200 OK", *file["identity"]

    def db(self, environ):
        bounds = query(environ)
        arguments = (integer(bounds.get("min", "10")), integer(bounds.get("max", "50")))
        rows = self.sqlite().execute(SQLITE_ITEMS, arguments).fetchall()
        items = [item(*row[:5], bool(row[5]), orjson.loads(row[6]), *row[7:]) for row in rows]
        return "200 OK", JSON, orjson.dumps({"items": items, "count": len(items)})

    def sqlite(self):
        connection = getattr(self.thread, "sqlite", None)
        if connection is None:
            connection = sqlite3.connect(self.database, uri=True)
            connection.execute(f"PRAGMA mmap_size = {SQLITE_MMAP}")
            self.thread.sqlite = connection
        return connection

    def async_db(self, environ):
        bounds = query(environ)
        limit = min(max(integer(bounds.get("limit", "50")), 1), 50)
        arguments = (integer(bounds.get("min", "10")), integer(bounds.get("max", "50")), limit)
        if self.pool is None:
            return "200 OK", JSON, NO_ROWS
        try:
            with self.pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                rows = cursor.execute(POSTGRES_ITEMS, arguments, prepare=True).fetchall()
        except (psycopg.Error, PoolTimeout):
            return "200 OK", JSON, NO_ROWS
        items = [item(*row) for row in rows]
        return "200 OK", JSON, orjson.dumps({"items": items, "count": len(items)})


def item(key, name, category, price, quantity, active, tags, score, count):
    """One row as the workload wants it."""
    return {
        "id": key,
        "name": name,
        "category": category,
        "price": price,
        "quantity": quantity,
        "active": active,
        "tags": tags,
        "rating": {"score": score, "count": count},
    }


def with_totals(items, factor):
    """The items with their totals, as JSON."""
    priced = [{**item, "total": item["price"] * item["quantity"] * factor} for item in items]
    return orjson.dumps({"items": priced, "count": len(priced)})


def query(environ):
    """Names and values of the query."""
    return dict(parse_qsl(environ.get("QUERY_STRING", "")))


def integer(text):
    """The integer that `text` is, or 0."""
    try:
        return int(text)
    except ValueError:
        return 0


def read_files(directory):
    """Name of each file, and by content coding the fields and bytes to answer with."""
    for path in sorted(directory.iterdir()):
        if path.suffix in (".br", ".gz"):
            continue
        fields = [("Content-Type", MEDIA_TYPES.get(path.suffix, "application/octet-stream"))]
        file = {"identity": (fields, path.read_bytes())}
        for coding, ending in (("br", ".br"), ("gzip", ".gz")):
            sibling = path.with_name(path.name + ending)
            if sibling.exists():
                coded = [*fields, ("Content-Encoding", coding), ("Vary", "Accept-Encoding")]
                file[coding] = (coded, sibling.read_bytes())
        yield path.name, file


def open_pool():
    """The connections to PostgreSQL, or None where no server is named."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        return None
    set_json_loads(orjson.loads)
    most = int(os.environ.get("DATABASE_MAX_CONN", "16"))
    # Statements stand for themselves: no BEGIN and COMMIT around each.
    settings = {"autocommit": True, "connect_timeout": POSTGRES_SECONDS}
    return ConnectionPool(url, min_size=1, max_size=most, timeout=POSTGRES_SECONDS, kwargs=settings, open=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    fastpysgi.server.backlog = BACKLOG
    fastpysgi.server.read_buffer_size = READ_BUFFER
    fastpysgi.server.tcp_nodelay = 1
    fastpysgi.run(Arena(options.data), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
