"""The page's script: typed, one scope a module, and nothing but it and the style sheet may run."""

import base64
import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from evalsuite.reporting import script

STATIC = Path(script.__file__).parent / "static"
BROWSER = Path(__file__).parent / "browser"


def test_the_types_of_the_script_hold():
    found = subprocess.run(
        [BROWSER / "node_modules" / ".bin" / "tsc", "-p", BROWSER], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_every_module_is_in_the_script_once():
    text = script.script()
    for module in STATIC.glob("*.js"):
        assert text.count(f"const {module.stem}_js = ") == 1
    assert not re.search(r"^(import|export) ", text, re.MULTILINE)


def test_a_module_that_imports_itself_through_others_is_an_error(tmp_path, monkeypatch):
    modules = {
        "main.js": 'import { a } from "./a.js";\n',
        "a.js": 'import { m } from "./main.js";\nexport const a = m;\n',
    }
    monkeypatch.setattr(script, "_read", modules.__getitem__)
    script.script.cache_clear()
    with pytest.raises(ValueError, match=r"static/main\.js imports itself through main, a"):
        script.script()
    script.script.cache_clear()


def test_script_and_style_cannot_end_early_and_hold_no_way_around_the_text():
    text = script.script()
    assert "</script" not in text.lower()
    assert "<!--" not in text
    assert "</style" not in script.style().lower()
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(\s*[\"'`]", text
    )


def test_the_policy_allows_the_two_by_hash_and_nothing_else():
    def digest(text):
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    parts = dict(part.strip().split(" ", 1) for part in script.policy().split(";"))
    assert parts == {
        "default-src": "'none'",
        "style-src": f"'{digest(script.style())}'",
        "script-src": f"'{digest(script.script())}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "script-src" not in script.policy(scripted=False)
    assert "connect-src 'self'" in script.policy(served=True)
