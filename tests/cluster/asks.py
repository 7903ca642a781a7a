"""Asks the endpoint without a pause, in the gateway pod: python asks.py SECONDS; prints what was answered, as JSON."""

import json
import sys
import time
from collections import Counter

import httpx

URL = "http://interest-transformer/v1/models/interest:predict"


def main() -> None:
    end = time.monotonic() + float(sys.argv[1])
    statuses, digests, failures, slowest_s = Counter[int](), list[str](), list[str](), 0.0
    asked = {"instances": [{"user_id": "asker", "video_ids": ["sim-00001", "sim-00002"]}]}
    with httpx.Client(timeout=10) as client:
        while time.monotonic() < end:
            begun = time.monotonic()
            try:
                answer = client.post(URL, json=asked)
            except httpx.TransportError as error:
                failures.append(f"{type(error).__name__}: {error}")
                continue
            slowest_s = max(slowest_s, time.monotonic() - begun)
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                digest = answer.json()["predictions"][0]["model_digest"]
                if not digests or digests[-1] != digest:
                    digests.append(digest)
            else:
                failures.append(f"{answer.status_code}: {answer.text[:200]}")
    print(json.dumps({"statuses": statuses, "digests": digests, "failures": failures, "slowest_s": slowest_s}))


if __name__ == "__main__":
    main()
