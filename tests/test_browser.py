"""TensorBoard in a browser: each page shows what the runs have logged."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.loggers import TensorBoardLogger

import datamodules
import zoo
from zoo.recipes.fit import fit_recipe

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
SECONDS = 60
"""Longest wait for a part of a page."""
SHOTS = os.environ.get("BROWSER_SCREENSHOTS")
"""Folder into which each page is photographed, if it is set."""


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Fit three short runs, and return the address of a TensorBoard that shows them."""
    logs = tmp_path_factory.mktemp("runs")
    quiet = {"max_epochs": 3, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    recipe = zoo.load_recipe("mlp.digits")
    for number, lr in enumerate((0.001, 0.01)):
        overrides = {"trainer": quiet, "model": {"lr": lr}}
        fit_recipe(recipe, run=logs / f"mlp_{number}", overrides=overrides, histograms=True)
    model = zoo.create_model("autoencoder", in_features=64, input_shape=[1, 8, 8], hidden_dims=[32], latent_dim=6)
    callbacks = zoo.callbacks.default_callbacks(model, logs / "autoencoder" / "checkpoints")
    logger = TensorBoardLogger(logs, name="", version="autoencoder")
    data = datamodules.create_datamodule("digits", val_size=200)
    L.Trainer(**quiet, logger=logger, callbacks=callbacks).fit(model, data)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                found = re.search(r"http://127\.0\.0\.1:\d+/", line)
                if found:
                    yield found.group()
                    break
            else:
                pytest.fail("TensorBoard did not start: " + "".join(lines))
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def browser():
    """Start Chromium; without it the tests fail, since whoever asks for them has it installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def show(board, browser, request):
    """Return a function that opens a page of TensorBoard."""
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    page.set_default_timeout(SECONDS * 1000)

    def open_page(name):
        page.goto(f"{board}#{name}")
        return page

    yield open_page
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{request.node.name}.png")
    page.close()


def test_scalars(show):
    page = show("scalars")
    for tag in ("lr", "samples_per_second", "train_loss", "val_loss", "val_accuracy", "best_val_loss"):
        page.get_by_text(tag, exact=True).first.wait_for()
    for run in ("mlp_0", "mlp_1", "autoencoder"):
        page.get_by_text(run, exact=True).first.wait_for()
    page.locator("tf-scalar-card", has_text="tag: lr").locator("vz-line-chart2, svg").first.wait_for()


def test_images(show):
    page = show("images")
    for tag in ("confusion", "mistakes", "first_layer", "reconstructions", "psnr"):
        page.get_by_text(tag, exact=True).first.wait_for()
    picture = page.locator("tf-image-loader", has_text="tag: confusion").locator("img").first
    picture.wait_for()
    page.wait_for_function("picture => picture.naturalWidth > 100", arg=picture.element_handle())


def test_text(show):
    page = show("text")
    for part in ("recipe: mlp.digits", "lr: 0.01", "name: CodecAutoencoder"):
        page.get_by_text(part).first.wait_for()


def test_graph(show):
    page = show("graphs")
    for part in ("input", "Codec", "output"):
        page.locator("tf-graph-scene g.node text", has_text=part).first.wait_for()


def test_histograms(show):
    page = show("histograms")
    for part in ("gradients/2.weight", "weights/2.weight"):
        page.get_by_text(part, exact=True).first.wait_for(state="attached")
    page.locator("tf-histogram-loader svg path").first.wait_for(state="attached")


def test_projector(show):
    page = show("projector").frame_locator("iframe").frame_locator("iframe")
    page.locator(".numDataPoints", has_text="200").first.wait_for()
    page.get_by_text("Total variance described").first.wait_for()
    page.locator("canvas").first.wait_for()


def test_hparams(show):
    page = show("hparams")
    for part in ("mlp_0", "mlp_1", "autoencoder", "best_val_loss"):
        page.get_by_text(part, exact=True).first.wait_for()
    page.locator("paper-checkbox, input[type=checkbox]").first.wait_for()
    page.get_by_text("model/lr", exact=True).first.click()
    for value in ("0.0010000", "0.010000"):
        page.get_by_text(value, exact=True).first.wait_for()
