"""Opens connections at a steady rate: flood.py ADDRESS PORT SECONDS RATE.

Each asks for /pipeline and ends. Prints how many were answered within a second of their first SYN, and how many were
opened.
"""

import asyncio
import sys
import time

PATIENCE_SECONDS = 1.0
REQUEST = b"GET /pipeline HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


async def exchange(address, port):
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(REQUEST)
        return (await reader.read()).endswith(b"ok")
    finally:
        writer.close()


async def is_served(address, port):
    try:
        return await asyncio.wait_for(exchange(address, port), PATIENCE_SECONDS)
    except (OSError, asyncio.TimeoutError):
        return False


async def main():
    address, port, seconds, rate = sys.argv[1], *map(int, sys.argv[2:5])
    start = time.monotonic()
    tasks = []
    for number in range(seconds * rate):
        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(is_served(address, port)))
    served = sum(await asyncio.gather(*tasks))
    print(served, len(tasks))


asyncio.run(main())
