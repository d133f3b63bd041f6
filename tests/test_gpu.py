"""The check of GPUs, in miniature on a CPU: all its steps, and what becomes of steps that break or hang."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.helpers.interrupts import HANG

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STEPS = [path.stem for path in sorted((BENCHMARKS / "gpu_steps").glob("[!_]*.py")) if path.stem != "common"]


@pytest.fixture(autouse=True)
def _programs(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def step(**found):
    return {"step": "training", "results": [], "seconds": 1.2, **found}


@pytest.fixture
def packages():
    for package in ("torch", "transformers", "accelerate", "peft", "sentence_transformers"):
        pytest.importorskip(package)


@pytest.fixture
def one_thread():
    """Run steps on one thread, since threads that share so little wait for each other, and leave PyTorch as it was."""
    torch = pytest.importorskip("torch")
    n_threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.long
@pytest.mark.usefixtures("packages", "one_thread", "ctrl_c")
@pytest.mark.parametrize("name", STEPS)
def test_step_meets_its_bars(name):
    setting = import_module("gpu_steps.common").Setting(device="cpu", small=True, scale=1.0, seconds=HANG)
    results = [json.loads(json.dumps(found)) for found in import_module(f"gpu_steps.{name}").run(setting)]
    assert results
    assert [found for found in results if found["met"] is False] == []


@pytest.mark.long
@pytest.mark.usefixtures("packages")
def test_program_runs_steps_and_reports_them(tmp_path):
    names = ["card", "decoding"]
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--device", "cpu", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--steps", *names], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("There is no GPU here, so this is the miniature")
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert [step["step"] for step in report["steps"] if "error" not in step] == names
    assert all(step["results"] for step in report["steps"])
    table = (tmp_path / "gpu.md").read_text()
    assert all(f"| {name} | " in table for name in names)
    assert "torch 2" in table.splitlines()[0]


def test_every_step_is_in_the_program():
    assert sorted(import_module("gpu_steps").STEPS) == STEPS


def test_step_operations_are_those_that_torch_counts():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    training = import_module("gpu_steps.training")
    for gated in (False, True):
        config = transformers.T5Config(
            vocab_size=50, d_model=24, d_kv=4, d_ff=40, num_layers=2, num_decoder_layers=3, num_heads=5,
            decoder_start_token_id=0, feed_forward_proj="gated-gelu" if gated else "relu",
        )  # fmt: skip
        model = transformers.T5ForConditionalGeneration(config)
        ids = {
            "input_ids": torch.ones((7, 11), dtype=torch.int64),
            "decoder_input_ids": torch.ones((7, 5), dtype=torch.int64),
        }
        with FlopCounterMode(display=False) as counter:
            model(**ids)
        output_layer = 2 * 7 * 5 * 24 * 50
        forward = counter.get_total_flops() - output_layer
        assert training.step_flops(config, 7, 11, 5) == 3 * forward


def test_step_that_breaks_costs_itself_alone(tmp_path):
    gpu = import_module("gpu")
    broken = gpu.run("training", [sys.executable, "-c", "raise SystemError('no luck')"], {}, 60)
    assert broken["results"] == []
    assert "SystemError: no luck" in broken["error"]
    assert "Traceback" in broken["error"]
    results = tmp_path / "results.jsonl"
    results.write_text(json.dumps({"check": "speed", "found": "3", "bar": "2", "met": True}) + "\n")
    hanging = gpu.run("training", [sys.executable, "-c", "input = __import__('time').sleep(600)"], {}, 0.5, results)
    assert hanging["error"].startswith("not done after 0 s")
    assert [found["check"] for found in hanging["results"]] == ["speed"]
    assert gpu.run("training", ["true"], {}, 0)["error"] == "no time was left"


def test_report_is_written_after_each_step(tmp_path, capsys):
    gpu = import_module("gpu")
    report = gpu.Report(tmp_path, {"device": "cuda", "small": False, "scale": 1.0})
    facts = {"card": "a card", "torch": "9.9"}
    report.add(step(results=[{"check": "a|b", "found": "1", "bar": "", "met": None, "facts": facts}]))
    assert not report.failed
    report.add(step(error="exit code 1\nTraceback\nValueError: bad"))
    assert report.failed
    assert report.summary == "0 of 0 bars met; steps that failed: training"
    lines = (tmp_path / "gpu.md").read_text().splitlines()
    assert lines[0].endswith("card a card, torch 9.9")
    assert lines[-2:] == [
        "| training | a/b | 1 |  |  | 1 |",
        "| training | whole step | exit code 1: ValueError: bad |  | NO | 1 |",
    ]
    assert json.loads((tmp_path / "gpu.json").read_text())["steps"][1]["error"].startswith("exit code 1")
    missed = {"check": "speed", "found": "1", "bar": "2", "met": False}
    other = gpu.Report(tmp_path, {})
    other.add(step(results=[missed]))
    assert other.failed
    assert "| training | speed | 1 | 2 | NO | 1 |" in capsys.readouterr().out
