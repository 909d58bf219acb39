"""Training runs for tests: by command on a small data set, and directly on drawn samples, also in subprocesses."""

from pathlib import Path

import torch

from streamseg.cli.main import main
from streamseg.datasets.samples import Sample
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.training.batches import batches
from streamseg.training.compose import ComposeSettings
from streamseg.training.learner import Learner
from streamseg.training.settings import TrainingSettings
from streamseg.training.trainer import Trainer
from tests.support.datasets import coco_folder, compressed
from tests.support.images import ListSource, disc, drawn_sample, paint

DATA_SIZE = (60, 80)
DATA_MASK = disc(DATA_SIZE, 40, 30, 20)
RECIPE = """
sources: [{path: things}]
imgsz: 96
settings: {num_steps: 2, batch_size: 2, sizes: [32], num_warmup_steps: 1}
"""


def write_training_data(folder: Path) -> Path:
    """Write a data folder that contains a recipe."""
    image = paint([DATA_MASK], [(200, 30, 30)], DATA_SIZE)
    coco_folder(folder / "things", [(image, [{"segmentation": compressed(DATA_MASK)}])])
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def train(data, *arguments, recipe="recipe.yaml", workers=0):
    """Run `streamseg train` and return its exit code."""
    base = ["train", str(data / recipe), "--data", str(data), "--out", str(data.parent / "run")]
    return main([*base, "--workers", str(workers), *arguments])


# ---- trainers on drawn samples

SETTINGS = TrainingSettings(num_steps=6, batch_size=2, sizes=(32,), num_warmup_steps=2, half=False)
SOURCES = [ListSource([drawn_sample(seed) for seed in range(4)])]


def ignore(progress):
    pass


def trainer_in(folder, settings=SETTINGS, **options):
    return Trainer(settings, SOURCES, [1.0], folder, num_workers=0, **options)


def trained(folder, settings=SETTINGS, *, resume=False, report=ignore, **options):
    """Run a trainer that logs every step and saves at the end."""
    trainer = trainer_in(folder, settings, resume=resume)
    trainer.run(report, **{"report_every": 1} | options)
    return trainer


# ---- several processes

RANKS_SETTINGS = TrainingSettings(num_steps=3, batch_size=4, sizes=(32,), num_warmup_steps=2, half=False)
RANKS_SOURCES = [ListSource([drawn_sample(0), drawn_sample(1), Sample(drawn_sample(9).image, ())])]
NUM_BATCHES = 3


def shares(ranks, **options):
    """Return this process's shares of some batches."""
    plain = ComposeSettings(mosaic=0, paste=0, photometric=0)
    values = {"sizes": (64,), "batch_size": 2, "start": 0, "stop": NUM_BATCHES, "seed": 3, "settings": plain}
    return batches(RANKS_SOURCES, [1.0], num_workers=0, ranks=ranks, **(values | options))


def losses_and_gradients(ranks):
    """Return the losses and gradients of some batches, with a network whose batch norms are fixed."""
    learner = Learner(build_yolov8("n", seed=3), RANKS_SETTINGS, torch.device("cpu"), ranks=ranks)
    learner.network.eval()
    found = []
    for batch in shares(ranks):
        losses = ranks.sum(torch.stack(tuple(learner.backward(batch).values())).detach()) / ranks.count
        gradients = [one.grad.clone() for one in learner.network.parameters() if one.requires_grad]
        found.append((losses, gradients))
        learner.network.zero_grad()
    return found


def train_in(folder, ranks, *, resume=False, **options):
    trainer = Trainer(RANKS_SETTINGS, RANKS_SOURCES, [1.0], folder, num_workers=0, resume=resume, ranks=ranks)
    return trainer.run(ignore, report_every=1, **options)
