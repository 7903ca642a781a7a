"""Fail when a test was skipped: python .ci/none_skipped.py REPORT.xml [REASON_THAT_IS_ALLOWED ...]"""

import sys
from pathlib import Path
from xml.etree import ElementTree

report, allowed = Path(sys.argv[1]), sys.argv[2:]
skipped = [
    (case.get("classname"), case.get("name"), (node.get("message") or ""))
    for case in ElementTree.parse(report).iter("testcase")
    for node in case.iter("skipped")
    if not any(reason in (node.get("message") or "") for reason in allowed)
]
for classname, name, message in skipped:
    print(f"skipped: {classname}.{name}: {message}")
print(f"{report.name}: {len(skipped)} skipped")
sys.exit(bool(skipped))
