"""A Dockerfile carried out without a container engine: its own instructions, in layers over this machine's file system (which stands for the
base image: it must have the same Python), in a mount namespace each.

It takes the instructions that docker/Dockerfile uses, and refuses all others. Needs root and overlay mounts.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BASE = ("bin", "etc", "lib", "lib64", "sbin", "usr", "var")  # of this machine, in the place of the base image


class Instruction(NamedTuple):
    """One instruction; `text` without line ends."""

    word: str
    text: str


def instructions(dockerfile: Path) -> list[Instruction]:
    """In order; comments gone, continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(word.upper(), text.strip()) for word, _, text in (line.partition(" ") for line in joined.splitlines())]


def able() -> str:
    """Why images cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "making the image takes root"
    if shutil.which("python3.11") is None:
        return "making the image takes the base image's Python, 3.11"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", "ro,lowerdir=/usr:/etc", "/mnt"], capture_output=True
    )
    return "" if tried.returncode == 0 else "making the image takes overlay mounts"


@dataclass
class Image:
    """What the instructions have made so far: a layer of files, and how it is to be run."""

    layer: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    directory: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    ports: list[int] = field(default_factory=list)

    def process(self, command: list[str], *, volumes: dict[str, Path], environment: dict[str, str]) -> list[str]:
        """The command line that runs `command` as a container would with `--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges`.

        It becomes that process, without one between.
        """
        uid, gid = self.user.split(":")
        mounts = ["mount -t tmpfs tmpfs $m", "cd $m", "mkdir dev proc tmp"]
        for name in BASE:
            mounts.append(
                f"ln -s {os.readlink(f'/{name}')} {name}" if Path("/", name).is_symlink() else _read_only(f"/{name}", name)
            )
        mounts += [_read_only(str(made), made.name) for made in self.layer.iterdir()]
        mounts += ["mount --rbind /dev dev", "mount --rbind /proc proc", "mount -t tmpfs -o mode=1777 tmpfs tmp"]
        mounts += [f"mount --bind {source} $m{target}" for target, source in volumes.items()]
        mounts += ["mount -o remount,ro $m"]
        rights = f"setpriv --reuid {uid} --regid {gid} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
        become = (
            f"exec chroot $m {rights} env -i -C {self.directory} {_pairs(self.environment | environment)} {shlex.join(command)}"
        )
        return _namespace([*mounts, become])


def _read_only(source: str, name: str) -> str:
    assert name not in BASE or source == f"/{name}", f"a layer that changes /{name} is not done here"
    return f"mkdir {name}; mount --bind {source} {name}; mount -o remount,bind,ro {name}"


def _pairs(environment: dict[str, str]) -> str:
    return " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())


def _namespace(steps: list[str]) -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(["m=/mnt", *steps])]


class Builder:
    """`build()` gives the image of the last stage. `context` is the directory that COPY takes from."""

    def __init__(self, dockerfile: Path, context: Path, work: Path, network: dict[str, str] | None = None) -> None:
        self._instructions = instructions(dockerfile)
        self._ignored = dockerfile.with_name(dockerfile.name + ".dockerignore").read_text().splitlines()
        self._context, self._work = context, work
        self._network = network or {}  # environment that reaches the package index from here
        self._stages: dict[str, Image] = {}

    def build(self) -> Image:
        image: Image | None = None
        for number, (word, text) in enumerate(self._instructions):
            if word == "FROM":
                image = self._begin(number, text)
                continue
            assert image is not None, "FROM comes first"
            image = getattr(self, f"_{word.lower()}")(image, text)
        assert image is not None
        return image

    def _begin(self, number: int, text: str) -> Image:
        base, *name = re.split(r"\s+AS\s+", text, flags=re.IGNORECASE)
        assert base == "python:3.11-slim", f"nothing here stands for {base}"
        layer = self._work / f"stage{number}"
        layer.mkdir()
        image = Image(layer)
        self._stages[name[0] if name else str(number)] = image
        return image

    def _run(self, image: Image, text: str) -> Image:
        spare = self._work / "spare"
        shutil.rmtree(spare, ignore_errors=True)
        spare.mkdir()
        where = f"lowerdir=/,upperdir={image.layer},workdir={spare}"
        become = (
            f"exec chroot $m env -i -C {image.directory} {_pairs(self._network | image.environment)} sh -c {shlex.quote(text)}"
        )
        mounts = [f"mount -t overlay overlay -o {where} $m", "mount --rbind /dev $m/dev", "mount --rbind /proc $m/proc"]
        assert image.user == "0:0", "RUN as another user is not done here"
        done = subprocess.run(_namespace([*mounts, become]), capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"RUN {text}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return image

    def _copy(self, image: Image, text: str) -> Image:
        words = text.split()
        origin = None
        while words[0].startswith("--"):
            name, _, value = words.pop(0).removeprefix("--").partition("=")
            assert name == "from", f"COPY --{name} is not done here"
            origin = self._stages[value].layer
        *sources, target = words
        into = image.layer / os.path.normpath(os.path.join(image.directory, target)).lstrip("/")
        for source in sources:
            found = (origin or self._context) / source.lstrip("/")
            assert origin or self._enters(source), f"{source} is not let into the context by .dockerignore"
            if found.is_dir():
                shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True, ignore=None if origin else self._not_entering)
            else:
                to = into / found.name if target.endswith("/") else into
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, to)
        return image

    def _enters(self, path: str) -> bool:
        """By the last line that matches, as .dockerignore is read."""
        enters = True
        for line in self._ignored:
            pattern = line.strip().removeprefix("!")
            if (
                line.strip()
                and not line.startswith("#")
                and any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in _parts(path, pattern))
            ):
                enters = line.startswith("!")
        return enters

    def _not_entering(self, directory: str, names: list[str]) -> set[str]:
        return {name for name in names if not self._enters(str((Path(directory) / name).relative_to(self._context)))}

    def _env(self, image: Image, text: str) -> Image:
        return replace(image, environment=image.environment | dict(pair.split("=", 1) for pair in shlex.split(text)))

    def _workdir(self, image: Image, text: str) -> Image:
        (image.layer / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return replace(image, directory=text)

    def _user(self, image: Image, text: str) -> Image:
        return replace(image, user=text)

    def _expose(self, image: Image, text: str) -> Image:
        return replace(image, ports=[*image.ports, *map(int, text.split())])

    def _stopsignal(self, image: Image, text: str) -> Image:
        return replace(image, stop_signal=text)

    def _healthcheck(self, image: Image, text: str) -> Image:
        return replace(image, health=json.loads(text.partition("CMD ")[2]))

    def _entrypoint(self, image: Image, text: str) -> Image:
        return replace(image, entrypoint=json.loads(text), command=[])

    def _cmd(self, image: Image, text: str) -> Image:
        return replace(image, command=json.loads(text))


def _parts(path: str, pattern: str) -> list[str]:
    """What of `path` a pattern is held against: its beginning (`app` lets all of app in), or with `**/` any part."""
    parts = Path(path).parts
    return list(parts) if pattern.startswith("**/") else ["/".join(parts[: n + 1]) for n in range(len(parts))]
