"""The steps of `benchmarks/gpu.py`, in their order: a module for each, whose ``run`` yields what it finds."""

BUDGET = 9.5  # minutes, for all of them and the build
STEPS = {  # name: seconds after which a step is ended; most need half of it
    "card": 40,
    "predictions": 60,
    "training": 100,
    "decoding": 80,
    "encoding": 60,
    "tuning": 80,
    "networks": 90,
    "memory": 50,
    "repeat": 60,
    "end_to_end": 100,
    "suite": 180,
}
