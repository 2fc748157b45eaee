# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Call URLs all along as a client would, write down every request, and report how the service looked from here."""

from __future__ import annotations

import argparse
import collections
import heapq
import http.client
import json
import math
import signal
import statistics
import sys
import threading
import time
import typing as t
import urllib.parse

#: What the lab's guest says about itself on its page, and a record keeps.
SAID = ("hostname", "boot_id", "counter", "address")


def request(url: str, timeout: float) -> dict[str, t.Any]:
    """Make one GET request over a connection of its own and return its record.

    Returns:
        {t: wall clock at the start in seconds, monotonic, url, ok, status, error, latency in seconds} and what the page says of SAID.
    """
    parts = urllib.parse.urlsplit(url)
    record: dict[str, t.Any] = {"t": time.time(), "monotonic": time.monotonic(), "url": url, "ok": False, "status": None, "error": None}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        connection.connect()
        connection.sock.settimeout(max(0.001, timeout - (time.monotonic() - record["monotonic"])))
        connection.request("GET", urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")), headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
        record.update(status=answer.status, ok=answer.status == 200, error=None if answer.status == 200 else f"HTTP {answer.status}")
        record.update(_said(body))
    except (OSError, http.client.HTTPException) as exc:
        record["error"] = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    finally:
        connection.close()
    record["latency"] = round(time.monotonic() - record["monotonic"], 6)
    return record


def _said(body: bytes) -> dict[str, t.Any]:
    try:
        page = json.loads(body)
    except ValueError:
        return {}
    return {key: page[key] for key in SAID if key in page} if isinstance(page, dict) else {}


def call(urls: list[str], output: t.TextIO, interval: float, timeout: float, seconds: float, stop: threading.Event) -> None:
    """Call each of the *urls* every *interval* seconds, one request at a time per URL, until *stop* is set or for *seconds*."""
    writing = threading.Lock()

    def keep_calling(url: str) -> None:
        due = time.monotonic()
        while not stop.is_set():
            line = json.dumps(request(url, timeout)) + "\n"
            with writing:
                output.write(line)
                output.flush()
            due = max(due + interval, time.monotonic())
            stop.wait(due - time.monotonic())

    threads = [threading.Thread(target=keep_calling, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    stop.wait(seconds if seconds < math.inf else None)
    stop.set()
    for thread in threads:
        thread.join()


def report(records: t.Iterable[dict[str, t.Any]], since: float = -math.inf, until: float = math.inf) -> dict[str, t.Any]:
    """Sum up the *records* of requests that started at *since* or later and before *until* (wall clock, seconds).

    Returns:
        requests, answered, failed: how many.
        longest_gap: the longest time in seconds without any answer over all URLs, and longest_gap_start when it began (wall clock); the time before the
            first answer and after the last one counts too.
        counter_went_on: whether each boot id's counter was higher in every request than in those that had been answered before it.
        counters: for each boot id the lowest and highest counter; boot_ids, addresses, hostnames: in order of appearance.
        urls: for each URL requests and answered; errors: how often each; median_latency: of answered requests, in seconds.
    """
    chosen = sorted((record for record in records if since <= record["t"] < until), key=lambda record: record["t"])
    answered = sorted((record for record in chosen if record["ok"]), key=_end)
    gap, start = _longest_gap(chosen, answered, since, until)
    counters: dict[str, list[int]] = {}
    for record in answered:
        if "counter" in record:
            counters.setdefault(record["boot_id"], []).append(record["counter"])
    urls: dict[str, dict[str, int]] = {}
    for record in chosen:
        of_url = urls.setdefault(record["url"], {"requests": 0, "answered": 0})
        of_url["requests"] += 1
        of_url["answered"] += record["ok"]
    return {
        "requests": len(chosen),
        "answered": len(answered),
        "failed": len(chosen) - len(answered),
        "longest_gap": gap,
        "longest_gap_start": start,
        "counter_went_on": all(_went_on([record for record in answered if record.get("boot_id") == boot_id]) for boot_id in counters),
        "counters": {boot_id: [min(seen), max(seen)] for boot_id, seen in counters.items()},
        "boot_ids": _distinct(answered, "boot_id"),
        "addresses": _distinct(answered, "address"),
        "hostnames": _distinct(answered, "hostname"),
        "urls": urls,
        "errors": dict(collections.Counter(record["error"] for record in chosen if not record["ok"])),
        "median_latency": round(statistics.median(record["latency"] for record in answered), 6) if answered else None,
    }


def _end(record: dict[str, t.Any]) -> float:
    return record["t"] + record["latency"]


def _longest_gap(chosen: list[dict], answered: list[dict], since: float, until: float) -> tuple[float | None, float | None]:
    if not chosen:
        return None, None
    first = since if since > -math.inf else chosen[0]["t"]
    last = until if until < math.inf else max(_end(record) for record in chosen)
    moments = [first, *(_end(record) for record in answered), last]
    gap, start = max((later - earlier, earlier) for earlier, later in zip(moments, moments[1:]))
    return round(max(gap, 0.0), 6), start


def _went_on(answered: list[dict]) -> bool:
    highest = -1
    under_way: list[tuple[float, int]] = []
    for record in sorted(answered, key=lambda record: record["t"]):
        while under_way and under_way[0][0] <= record["t"]:
            highest = max(highest, heapq.heappop(under_way)[1])
        if record["counter"] <= highest:
            return False
        heapq.heappush(under_way, (_end(record), record["counter"]))
    return True


def _distinct(records: list[dict], key: str) -> list[str]:
    return list(dict.fromkeys(record[key] for record in records if key in record))


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(prog="vmatrix-caller", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    calling = commands.add_parser("call", help="call URLs until SIGTERM, and write a line of JSON per request")
    calling.add_argument("urls", nargs="+", metavar="URL")
    calling.add_argument("--output", type=argparse.FileType("a"), default="-", help="file to append to (default: standard output)")
    calling.add_argument("--interval", type=float, default=0.05, help="seconds from one request to the next, for each URL (default: 0.05)")
    calling.add_argument("--timeout", type=float, default=0.5, help="seconds after which a request has failed (default: 0.5)")
    calling.add_argument("--seconds", type=float, default=math.inf, help="end after so many seconds")
    reporting = commands.add_parser("report", help="sum up what was written down")
    reporting.add_argument("file", type=argparse.FileType("r"))
    reporting.add_argument("--since", type=float, default=-math.inf, help="only requests that started then or later (seconds since 1970)")
    reporting.add_argument("--until", type=float, default=math.inf, help="only requests that started before then (seconds since 1970)")
    chosen = parser.parse_args(arguments)
    if chosen.command == "call":
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        call(chosen.urls, chosen.output, chosen.interval, chosen.timeout, chosen.seconds, stop)
    else:
        # The last line may still be half written.
        records = [json.loads(line) for line in chosen.file if line.endswith("\n")]
        print(json.dumps(report(records, chosen.since, chosen.until), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
