"""Where the shipped data lies: profiles/, mappings/ and terminology/, in a checkout and in an installed wheel alike."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE / "_content" if (_HERE / "_content").is_dir() else _HERE.parent

PROFILES = _ROOT / "profiles"
MAPPINGS = _ROOT / "mappings"
TERMINOLOGY = _ROOT / "terminology"
