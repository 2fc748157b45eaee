# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import io
import json
import pathlib
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parents[4] / "roles/lab/files"))

import vmatrix_caller  # noqa: E402  pylint: disable=wrong-import-position

BOOT = "11111111-2222-3333-4444-555555555555"


def answer(start, counter, latency=0.1, url="http://198.18.1.1/", boot_id=BOOT):
    record = {"t": start, "url": url, "ok": True, "status": 200, "error": None, "latency": latency}
    return {**record, "boot_id": boot_id, "counter": counter, "address": "192.168.1.10/24", "hostname": "shop"}


def failure(start, latency=0.5, url="http://198.18.1.1/", error="timed out"):
    return {"t": start, "url": url, "ok": False, "status": None, "error": error, "latency": latency}


def test_gap_between_answers_is_the_outage_over_all_urls():
    west = "http://198.18.2.1/"
    records = [answer(0.0, 1), answer(1.0, 2), failure(1.2), failure(1.7, url=west), answer(3.0, 3, url=west), answer(3.5, 4, url=west)]
    found = vmatrix_caller.report(records)
    assert found["longest_gap"] == pytest.approx(2.0)
    assert found["longest_gap_start"] == pytest.approx(1.1)
    assert (found["requests"], found["answered"], found["failed"]) == (6, 4, 2)
    assert found["urls"] == {"http://198.18.1.1/": {"requests": 3, "answered": 2}, "http://198.18.2.1/": {"requests": 3, "answered": 2}}
    assert found["errors"] == {"timed out": 2}


def test_gap_counts_the_time_after_the_last_answer():
    assert vmatrix_caller.report([answer(0.0, 1), failure(1.0), failure(4.0)])["longest_gap"] == pytest.approx(4.4)


def test_gap_counts_the_time_before_the_first_answer():
    assert vmatrix_caller.report([failure(0.0), failure(2.0), answer(3.0, 1)])["longest_gap"] == pytest.approx(3.1)


def test_nothing_answered_is_a_gap_all_along():
    found = vmatrix_caller.report([failure(0.0), failure(9.5)])
    assert found["longest_gap"] == pytest.approx(10.0)
    assert (found["median_latency"], found["boot_ids"], found["counter_went_on"]) == (None, [], True)


def test_no_requests_have_no_gap():
    assert vmatrix_caller.report([])["longest_gap"] is None


def test_since_and_until_cut_the_records_and_bound_the_gap():
    records = [answer(float(second), second) for second in range(10)]
    found = vmatrix_caller.report(records, since=2.0, until=5.0)
    assert found["requests"] == 3
    assert found["counters"] == {BOOT: [2, 4]}
    assert found["longest_gap"] == pytest.approx(1.0)
    assert vmatrix_caller.report(records, since=5.5, until=20.0)["longest_gap"] == pytest.approx(20.0 - 9.1)


def test_counter_that_fell_back_is_told():
    assert vmatrix_caller.report([answer(0.0, 5), answer(1.0, 6)])["counter_went_on"]
    assert not vmatrix_caller.report([answer(0.0, 5), answer(1.0, 5)])["counter_went_on"]
    assert not vmatrix_caller.report([answer(0.0, 5), answer(1.0, 1)])["counter_went_on"]


def test_counter_starts_anew_with_another_boot_id():
    found = vmatrix_caller.report([answer(0.0, 5), answer(1.0, 1, boot_id="other")])
    assert found["counter_went_on"]
    assert found["boot_ids"] == [BOOT, "other"]


def test_requests_at_the_same_time_may_be_counted_in_any_order():
    assert vmatrix_caller.report([answer(0.0, 8, latency=1.0), answer(0.5, 7, latency=1.0)])["counter_went_on"]
    assert not vmatrix_caller.report([answer(0.0, 8, latency=0.4), answer(0.5, 7, latency=1.0)])["counter_went_on"]


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 5), st.booleans()), min_size=1, max_size=40))
def test_gap_is_never_shorter_than_any_silence(requests):
    records = [answer(start, number, latency) if ok else failure(start, latency) for number, (start, latency, ok) in enumerate(requests)]
    found = vmatrix_caller.report(records)
    ends = sorted(record["t"] + record["latency"] for record in records if record["ok"])
    assert found["answered"] == len(ends)
    assert all(later - earlier <= found["longest_gap"] + 1e-5 for earlier, later in zip(ends, ends[1:]))
    assert found["longest_gap"] <= 1005


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"hostname": "shop", "boot_id": "b", "counter": 1, "address": "192.168.1.10/24", "caller": "x"}' if self.path == "/page?x=1" else b"no"
        self.send_response(200 if self.path == "/page?x=1" else 503)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_request_keeps_what_the_page_says(site):
    record = vmatrix_caller.request(site + "/page?x=1", 5)
    assert record["ok"]
    assert {key: record[key] for key in vmatrix_caller.SAID} == {"hostname": "shop", "boot_id": "b", "counter": 1, "address": "192.168.1.10/24"}


def test_request_that_is_answered_badly_has_failed(site):
    record = vmatrix_caller.request(site + "/other", 5)
    assert (record["ok"], record["status"], record["error"]) == (False, 503, "HTTP 503")


def test_request_that_nobody_answers_has_failed():
    record = vmatrix_caller.request("http://127.0.0.1:1/", 5)
    assert (record["ok"], record["error"]) == (False, "Connection refused")


def test_call_writes_one_line_for_each_request(site):
    output = io.StringIO()
    vmatrix_caller.call([site + "/page?x=1", site + "/other"], output, interval=0.01, timeout=5, seconds=0.2, stop=threading.Event())
    records = [json.loads(line) for line in output.getvalue().splitlines()]
    assert {record["ok"] for record in records} == {True, False}


def test_report_leaves_out_a_line_that_is_still_being_written(tmp_path, capsys):
    path = tmp_path / "calls"
    path.write_text(json.dumps(answer(0.0, 1)) + "\n" + json.dumps(answer(1.0, 2))[:20])
    assert vmatrix_caller.main(["report", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 1
