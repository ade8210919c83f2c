"""What several test files share: a run that touches nothing of the user's, a quiet trainer, and small data."""

import atexit
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

# One cache folder for all processes of a run, set before anything asks for it: the user's is neither read nor written.
OWN_CACHE = "LIGHTNING_ZOO_TEST_CACHE"
if OWN_CACHE not in os.environ:
    os.environ[OWN_CACHE] = tempfile.mkdtemp(prefix="lightning-zoo-tests-")
    atexit.register(shutil.rmtree, os.environ[OWN_CACHE], ignore_errors=True)
os.environ["XDG_CACHE_HOME"] = os.environ["MPLCONFIGDIR"] = os.environ[OWN_CACHE]
for name in ("HF_HOME", "HF_TOKEN", "HF_ENDPOINT"):  # the Hub's client reads them when it is imported
    os.environ.pop(name, None)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side
if os.environ.get("ZOO_DATA"):  # tests work in folders of their own
    os.environ["ZOO_DATA"] = str(Path(os.environ["ZOO_DATA"]).expanduser().resolve())

import lightning as L  # noqa: E402
import pooch  # noqa: E402
import pytest  # noqa: E402
import requests  # noqa: E402
import torch  # noqa: E402
from adapters import adapter_of  # noqa: E402

torch.set_num_threads(1)
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)

ROOT = Path(__file__).parent.parent
LOCAL = ("127.0.0.1", "::1", "localhost")


# ---- nothing outside this machine ----


@pytest.fixture(scope="session", autouse=True)
def local_connections_alone():
    """Let an accidental download fail at once, whatever catches the errors of a network."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy"):  # one on this machine would lead out of it
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, refuse_others(getattr(socket.socket, name)))
        resolve = socket.getaddrinfo

        def getaddrinfo(host, *args, **kwargs):
            check_local(host)
            return resolve(host, *args, **kwargs)

        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def refuse_others(connect):
    def connect_locally(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check_local(address[0])
        return connect(self, address)

    return connect_locally


def check_local(host):
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", *LOCAL):
        pytest.fail(f"a test connects to {host}: tests use no network, see need_files in tests/conftest.py")


def no_server(*_, **__):
    """Stand for ``pooch.retrieve`` where no server answers."""
    raise requests.exceptions.ConnectionError


@contextlib.contextmanager
def published_files(name):
    """Skip a test that needs published files where they are not; the datamodule is named."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooch, "retrieve", no_server)
        try:
            yield
        except FileNotFoundError:
            place = os.environ.get("ZOO_DATA")
            pytest.skip(f"{name}: its files are not in {place}" if place else f"{name}: ZOO_DATA is not set")


def need_files(data):
    """Return a datamodule of published files, prepared; where they are not, the test is skipped."""
    with published_files(data.name):
        data.prepare_data()
    return data


# ---- small data ----


def tiny_data(model, **args):
    """Return data in the form of a model."""
    return adapter_of(type(model)).data(model, **args)


def tiny_batch(model, **args):
    data = tiny_data(model, **args)
    data.setup()
    return data.splits["train"].tensors


def tiny_inputs(model, **args):
    """Return what the network sees of a batch, a tuple: it may see its samples in another form."""
    return adapter_of(type(model)).inputs(model, tiny_batch(model, **args))


# ---- the command line ----


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


def answer(capfd, *words):
    """Run a command in this process; return its status and what it wrote to output and error stream."""
    from zoo import cli

    status = cli.main(list(words))
    out, err = capfd.readouterr()
    return status, out, err


# ---- training and processes ----


def quiet_trainer(**settings):
    silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    defaults = {"accelerator": "cpu", "num_sanity_val_steps": 0, **dict.fromkeys(silent, False)}
    return L.Trainer(**{**defaults, **settings})


def state(model):
    return {name: value.detach().clone() for name, value in model.net.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), f"{name} differs by {(value - other[name]).abs().max()}"


def run_python(*arguments, cwd=None, timeout=120, **environment):
    """Run a Python process in which the packages of this checkout can be imported."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    command = [sys.executable, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, **pipes) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@pytest.fixture(autouse=True)
def seeded():
    L.seed_everything(0, verbose=False)
