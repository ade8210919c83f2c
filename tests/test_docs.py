"""The documentation: its code runs as typed, its commands exist, its notebooks are fresh, its site builds strictly."""

import csv
import importlib
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from test_readme import ROOT, block, check_command, environment

import zoo
from datamodules import list_datamodules

DOCS = ROOT / "scripts" / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))
FENCE = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ELSEWHERE = ("eval", "pip", "pytest", "python", "tensorboard", "jupytext", "mkdocs")
"""Programs of commands that no test runs here: they install, serve, set up a shell or have tests of their own."""


NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
"""Settings with which nothing outside this machine is reached."""


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path):
    """Return the language and the code of each block of a page, and why it is not run, or None."""
    for comment, language, code in FENCE.findall(path.read_text(encoding="utf-8")):
        yield language, code, comment.removeprefix("not run: ") if comment.startswith("not run: ") else None


def commands(code):
    """Return the commands of a block of the shell as words, comments and settings of the environment left out."""
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            yield words[:end]
            words = words[end + 1 :]


def program(path):
    """Return a program that does what a page says, in its order."""
    lines = ["from pathlib import Path", "from zoo.cli import main as zoo_command"]
    for language, code, reason in blocks(path):
        if reason:
            continue
        if language == "python":
            lines.append(code)
        elif language == "yaml" and code.startswith("# "):
            lines.append(f"Path({code.split()[1]!r}).write_text({code!r})")
        elif language == "bash":
            for words in commands(code):
                if words[0] == "zoo":
                    lines.append(f"assert zoo_command({words[1:]!r}) == 0, {words!r}")
                else:
                    assert words[0] in ELSEWHERE, words
    return "\n".join(lines)


def has_code(path):
    return len(program(path).splitlines()) > 2 and path.parent.name != "notebooks"


@pytest.fixture
def users_files(tmp_path):
    """The files that the pages speak of, in a folder."""
    rng = np.random.default_rng(0)
    digit = Image.new("L", (120, 160), 255)
    ImageDraw.Draw(digit).line([(30, 30), (90, 30), (50, 130)], fill=0, width=12)
    digit.save(tmp_path / "digit.png")
    smooth = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
    (tmp_path / "photographs").mkdir()
    for file in ("photo.png", "photo.jpg", "in.png", "photographs/one.png"):
        smooth.save(tmp_path / file)
    smooth.convert("L").save(tmp_path / "grey.png")
    mask = Image.new("L", smooth.size)
    ImageDraw.Draw(mask).rectangle((20, 20, 30, 24), fill=255)
    mask.save(tmp_path / "mask.png")
    (tmp_path / "letters.txt").write_text("I love you.\nIt is cold.\n")
    with (tmp_path / "mails.tsv").open("w", newline="") as file:
        rows = [(f"please {verb} the {noun} {n}", verb) for n in range(40) for verb, noun in MAILS]
        csv.writer(file, delimiter="\t").writerows([("body", "intent"), *rows])
    with zipfile.ZipFile(tmp_path / "flowers.zip", "w") as archive:
        for number in range(60):
            for name, colour in (("rose", (200, 20, 40)), ("violet", (90, 20, 200))):
                Image.new("RGB", (40, 40), tuple(c + number % 20 for c in colour)).save(tmp_path / "flower.png")
                archive.write(tmp_path / "flower.png", f"{name}/{number}.png")
    write_recording(tmp_path, rng)
    return tmp_path


MAILS = (("send", "invoice"), ("cancel", "order"))


def write_recording(folder, rng, fs=250, seconds=30):
    """Write spikes once in 0.8 s as ``recording.csv`` and as the WFDB record ``path/to/100``."""
    wfdb = pytest.importorskip("wfdb")
    phase = (np.arange(fs * seconds) / fs) % 0.8 - 0.4
    lead = 1.2 * np.exp(-((phase / 0.02) ** 2)) + 0.2 * np.exp(-(((phase - 0.25) / 0.06) ** 2))
    signal = np.stack([lead, 0.5 * lead], 1) + 0.005 * rng.standard_normal((fs * seconds, 2))
    np.savetxt(folder / "recording.csv", signal, "%.4f", ",", header="MLII,V1", comments="")
    place = folder / "path" / "to"
    place.mkdir(parents=True)
    form = {"units": ["mV"] * 2, "sig_name": ["MLII", "V1"], "fmt": ["16"] * 2}
    wfdb.wrsamp("100", fs=fs, p_signal=signal, write_dir=str(place), **form)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in PAGES if has_code(path)], ids=name_of)
def test_code_of_a_page_runs_as_typed(path, users_files):
    """Its Python, its YAML files and its commands, in order, in one folder and one process."""
    run = subprocess.run(
        [sys.executable, "-c", program(path)],
        cwd=users_files,
        env={**environment(), **NOWHERE, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout[-1000:] + run.stderr[-3000:]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_of_a_page_exist(path):
    """Those too that are not run: recipes, options and scripts."""
    for language, code, _ in blocks(path):
        for words in commands(code) if language == "bash" else ():
            while "=" in words[0]:
                words = words[1:]
            check_command(words)


def test_blocks_that_are_not_run_are_few():
    left = [name_of(path) for path in PAGES for _, _, reason in blocks(path) if reason]
    assert len(left) <= 6, left


# ---- notebooks ----


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_without_data(path, tmp_path):
    run = subprocess.run(
        [sys.executable, path],
        cwd=tmp_path,
        env={
            **environment(),
            **NOWHERE,
            "MPLBACKEND": "Agg",
            "ZOO_DATA": str(tmp_path / "none"),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_page_of_a_notebook_has_its_cells(path):
    """Stale: run python scripts/run_notebooks.py."""
    jupytext = pytest.importorskip("jupytext")
    page, place = path.with_suffix(".md").read_text(encoding="utf-8"), 0
    cells = jupytext.read(path).cells
    assert sum(cell.cell_type == "code" for cell in cells) >= 4
    for cell in cells:
        found = page.find(cell.source, place)
        assert found >= 0, f"not in {path.stem}.md, at this place: {cell.source[:80]}"
        place = found + len(cell.source)
    pictures = {Path(file).name for file in re.findall(r"\]\((\S+\.png)\)", page)}
    assert pictures == {file.name for file in (path.parent / path.stem).iterdir()}
    assert len(pictures) == sum("plt.show()" in cell.source for cell in cells)


# ---- tables and the site ----


def test_every_model_has_a_family_with_a_page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from result_tables import FAMILIES, family_of, in_order

    assert {family_of(name).page for name in zoo.list_models()} == {family.page for family in FAMILIES}
    assert len(in_order()) == len(FAMILIES)
    with pytest.raises(ValueError, match="belongs to no family"):
        family_of("no_such")
    for family in FAMILIES:
        title, *_ = (DOCS / "families" / f"{family.page}.md").read_text(encoding="utf-8").splitlines()
        assert title == f"# {family.title}"
        assert family_of(zoo.load_recipe(family.recipe).model["name"]) is family


def test_links_that_leave_the_folder_lead_to_copies(monkeypatch):
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(DOCS))
    import hooks
    from mkdocs.exceptions import PluginError

    folder, place = DOCS / "how-to", "how-to/x.md"
    for link, expected in {
        "../results.md#a": "../results.md#a",
        "../../figures/tuning.png": "../figures/tuning.png",
        "../../train.py": "../source/scripts/train.py.md",
        "../../../.github/CONTRIBUTING.md#a-model": "../contributing.md#a-model",
        "https://pytorch.org/x.py": "https://pytorch.org/x.py",
    }.items():
        assert hooks.rewritten(f"[text]({link})", folder, place) == f"[text]({expected})"
    code = "```python\nx = y[0](../../train.py)\n```"
    assert hooks.rewritten(code, folder, place) == code
    with pytest.raises(PluginError, match=r"no_such\.py"):
        hooks.rewritten("[text](../../no_such.py)", folder, place)


def build(site, *, config=ROOT / "scripts" / "mkdocs.yml"):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)]
    own = {**environment(), **NOWHERE, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=site.parent, env=own, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_site_builds_strictly_and_has_everything_public(tmp_path):
    pytest.importorskip("mkdocs")
    run = build(tmp_path / "site")
    assert run.returncode == 0, run.stderr[-3000:]
    pages = {path.relative_to(tmp_path / "site").as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    for name, text in pages.items():
        outside = re.findall(r'<(?:script|img|link)[^>]* (?:src|href)="(https?:[^"]*)"', text)
        assert not outside, name
        assert "<!-- api:" not in text
        assert "<!-- registered" not in text
    for package in ("zoo", "zoo.tasks", "zoo.callbacks", "zoo.metrics", "zoo.nn", "datamodules"):
        text = pages[f"reference/{package.removeprefix('zoo.')}.html"]
        module = importlib.import_module(package)
        for name in module.__all__:
            path = f"{getattr(getattr(module, name), '__module__', package)}.{name}"
            if not (hasattr(getattr(module, name), "__path__") or hasattr(getattr(module, name), "__file__")):
                assert f'id="{path}"' in text or f'id="{package}.{name}"' in text, path
    for name in zoo.list_models():
        assert f'id="{zoo.model_info(name)["class"]}"' in pages["reference/models.html"]
        assert f"<code>{name}</code>" in pages["reference/models.html"].replace("<wbr>", "")
    for name in list_datamodules():
        assert f"<code>{name}</code>" in pages["reference/datamodules.html"].replace("<wbr>", "")
    assert "--ckpt_path" in pages["how-to/command-line.html"]
    assert not list((tmp_path / "site").rglob("*.py"))


@pytest.mark.slow
def test_site_with_a_broken_link_does_not_build(tmp_path):
    pytest.importorskip("mkdocs")
    text = (ROOT / "scripts" / "mkdocs.yml").read_text()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Start\n\n[text](no_such.md)\n")
    (tmp_path / "docs" / "zoo.css").write_text("")
    settings = yaml.load(text, yaml.UnsafeLoader)
    settings |= {"hooks": [], "nav": [{"Start": "index.md"}], "plugins": ["search"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.dump(settings))
    run = build(tmp_path / "site", config=tmp_path / "mkdocs.yml")
    assert run.returncode == 1
    assert "no_such.md" in run.stderr


def test_ci_builds_the_site():
    # With --quiet MkDocs counts no warnings.
    assert "\nmkdocs build --strict -f scripts/mkdocs.yml" in (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert block("command 1") in (DOCS / "index.md").read_text()
    assert block("command 2") in (DOCS / "index.md").read_text()
