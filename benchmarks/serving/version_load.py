"""Clients that ask without a pause until standard input ends: ``... version_load URL IMAGE CLIENTS`` prints JSON.

For each answer: when it was asked for and when it came (the machine's monotonic clock), its status, and the version
that gave it. Status 0 is a request without an answer.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

VERSION = re.compile(rb'"model_version": ?(\d+)')


async def main() -> None:
    """Run the clients, then print what they saw."""
    url, body, clients = urlsplit(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3])
    head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}"
    request, seen, stop = f"{head}\r\n\r\n".encode() + body, [], asyncio.Event()

    async def client() -> None:
        writer = None
        while not stop.is_set():
            asked, status, version = time.monotonic(), 0, 0
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(url.hostname, url.port)
                writer.write(request)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", answer.lower())
                text = await reader.readexactly(int(length[1]) if length else 0)
                status = int(answer[9:12])
                found = VERSION.search(text)
                version = int(found[1]) if found else 0
            except (OSError, asyncio.IncompleteReadError):
                writer = None
            seen.append((round(asked, 4), round(time.monotonic(), 4), status, version))

    running = [asyncio.create_task(client()) for _ in range(clients)]
    with contextlib.suppress(EOFError):
        await asyncio.to_thread(sys.stdin.read)
    stop.set()
    await asyncio.gather(*running)
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
