"""The list of reports for a browser, and each report's files. What it shows of the outside's words is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from http import HTTPStatus

import msgspec

from monitoring.reports.job import words
from wire import reports
from wire.errors import ObjectNotFound
from wire.http import Reply, reply
from wire.objects import ObjectStore
from wire.reports import MODEL, RECORD, Report

PATH = "/reports/"
MOST = 200
TYPES = {"html": "text/html; charset=utf-8", "json": "application/json"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Rapt: reports</title>
<style>body{{font:16px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1f2328;background:#fff}}
table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;
border-bottom:1px solid #d0d7de}}a{{color:#0550ae}}.moved{{color:#a40e26;font-weight:600}}
@media(max-width:40rem){{thead{{display:none}}td{{display:block;border:0;padding:.1rem 0}}tr{{display:block;
border-bottom:1px solid #d0d7de;padding:.6rem 0}}}}</style></head>
<body><main><h1>Reports</h1>{body}</main></body></html>"""
NOTHING = """<p>There is no report yet. One is made when a model has served some thousands of impressions; until then:
<code>rapt traffic --users 200 --rate 50 --seconds 60</code></p>"""


def page(store: ObjectStore) -> Reply:
    """All reports, the newest first."""
    found = reports.newest(store, MOST)
    rows = "".join(_row(one) for one in found)
    head = "<tr><th>Made (UTC)</th><th>Of</th><th>Says</th><th>Files</th></tr>"
    body = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if found else NOTHING
    return Reply(HTTPStatus.OK, PAGE.format(body=body).encode(), TYPES["html"])


def file(store: ObjectStore, path: str) -> Reply:
    """One file of one report, at /reports/<name>/<file>."""
    name, _, wanted = path.removeprefix(PATH).partition("/")
    try:
        report = reports.read(store, name)
        if wanted == RECORD:
            return reply(report)
        if wanted in report.files:
            kind = TYPES.get(wanted.rpartition(".")[2], "application/octet-stream")
            return Reply(HTTPStatus.OK, store.get_bytes(report.files[wanted]), kind)
    except ObjectNotFound:
        pass
    return reply({"error": f"there is no report file {path[:100]!r}; the list is at /"}, HTTPStatus.NOT_FOUND)


def _row(report: Report) -> str:
    made = f"{datetime.fromtimestamp(report.made_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    what = f"model {report.model[:12]}" if report.kind == MODEL else f"{report.kind} {report.subject}"
    files = [RECORD, *sorted(one for one in report.files if one.endswith(".html"))]
    links = " ".join(f'<a href="{PATH}{escape(report.name)}/{escape(one)}">{escape(one)}</a>' for one in files)
    moved = ' class="moved"' if report.drifted else ""
    return f"<tr><td>{made}</td><td>{escape(what)}</td><td{moved}>{escape(words(report))}</td><td>{links}</td></tr>"


def listed(report: Report) -> dict[str, object]:
    """A report in a list, for programs."""
    whole = msgspec.to_builtins(report)
    return {name: whole[name] for name in ("name", "kind", "subject", "model", "made_ms", "files")} | {
        "drifted": report.drifted,
        "says": words(report),
    }
