"""Times requests on one keep-alive connection: idle.py ADDRESS PORT back-to-back|spaced COUNT.

Prints the median latency in whole microseconds. Spaced requests follow 100 ms of silence each.
"""

import socket
import statistics
import sys
import time

SILENCE_SECONDS = 0.1
REQUEST = b"GET /pipeline HTTP/1.1\r\nHost: bench\r\n\r\n"


def main():
    address, port, how, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        exchange(connection)
        micros = []
        for _ in range(count):
            if how == "spaced":
                time.sleep(SILENCE_SECONDS)
            start = time.perf_counter_ns()
            exchange(connection)
            micros.append((time.perf_counter_ns() - start) / 1_000)
    print(round(statistics.median(micros)))


def exchange(connection):
    connection.sendall(REQUEST)
    received = b""
    while not received.endswith(b"\r\n\r\nok"):
        part = connection.recv(4096)
        if not part:
            sys.exit("the server has closed the connection")
        received += part


main()
