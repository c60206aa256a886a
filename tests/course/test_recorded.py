"""What long trainings brought is shipped as it was measured, and can be measured again."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import tlcourse as tl
from benchmarks import (
    capstone,
    engines,
    export,
    letters,
    move_less,
    networks,
    shift,
    speech,
    text,
    wins,
)
from tlcourse.errors import UnknownNameError
from tlcourse.tasks.load import capstone_part

MODULES = (capstone, engines, export, letters, move_less, networks, shift, speech, text, wins)
PROGRAMS = {module.__name__.rpartition(".")[2]: module for module in MODULES}


@pytest.mark.parametrize(
    ("program", "name"),
    [(program, name) for program, module in PROGRAMS.items() for name in module.EXPERIMENTS],
)
def test_each_experiment_says_how_it_was_made(program, name):
    about = tl.recorded_runs(name).attrs
    assert re.match(
        rf"python (-m benchmarks\.{program}|benchmarks/{program}\.py) --save", about["command"]
    )
    assert re.search(rf"--save( --only {name})?$", about["command"])
    assert len(about["commit"]) >= 7
    assert not about["commit"].endswith("dirty")
    assert about["versions"].keys() >= {"torch", "torchvision", "timm"}
    assert ("peft" in about["versions"]) == name.startswith("peer")


def test_one_cell_of_the_scores_of_networks_is_measured_again():
    task = networks.drawn("fashion", 0)
    backbone = networks.load("squeezenet1_1", 0)
    x = tl.extract_features(backbone, task.train, cache=False, progress=False).x["embedding"]
    table = tl.recorded_runs("network_scores")
    said = table[(table.network == "squeezenet1_1") & (table.seed == 0)].iloc[0]
    assert networks.logme(x, task.train.labels) == pytest.approx(said["logme"], abs=0.002)
    assert networks.h_score(x, task.train.labels) == pytest.approx(said["h_score"], abs=0.01)
    assert networks.pixels(task)["test_accuracy"] == pytest.approx(
        table[(table.network == "pixels") & (table.seed == 0)]["test_accuracy"].item(), abs=0.01
    )


@pytest.mark.parametrize("name", ["network_scores", "network_tuning"])
def test_the_experiments_with_networks_hold_each_network_and_seed(name):
    table = tl.recorded_runs(name)
    assert set(networks.NETWORKS) | {networks.RANDOM} <= set(table["network"])
    assert set(table["task"]) == {"fashion"}
    assert all(set(rows["seed"]) == {0, 1, 2} for _, rows in table.groupby("network"))


def test_one_cell_of_the_few_labels_is_measured_again():
    pixels = tl.raw_pixels(tl.load_task("things"), side=16)
    x, y = pixels.x["pixels"], pixels.y
    again = [wins.few_labels_once(x, y, 2, draw, "logistic") for draw in range(wins.DRAWS)]
    table = tl.recorded_runs("few_labels")
    said = table[(table.input == "pixels") & (table.probe == "logistic") & (table.per_class == 2)]
    assert said["test_accuracy"].item() == pytest.approx(math.fsum(again) / len(again), abs=0.005)


def test_digits_are_read_again_from_pixels_and_from_random_weights():
    """Draw 0 with five labels of each digit: a second's work, by the benchmark's own functions."""
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    draw = letters.draw_of(0, 5, labels)
    assert len(draw.train) == 50
    assert len(draw.test) == 1078
    assert not set(draw.test) & {*draw.train, *draw.val}
    table = tl.recorded_runs("letters_to_digits")
    said = table[(table.draw == 0) & (table.per_class == 5)].set_index("input")
    _, pixels = draw.probe(digits.images.reshape(1797, -1))
    assert said.loc["pixels", "test_accuracy"] == pytest.approx(pixels, abs=0.005)
    torch.manual_seed(100)
    random = letters.network(26).eval()
    task = tl.load_task("digits")
    splits = (task.train, task.val, task.test)
    order = np.concatenate([letters.places(split) for split in splits]).argsort()
    x = torch.cat([letters.tensors(split)[0] for split in splits])[order]
    row = said.loc["random weights, probe"]
    _, found = draw.probe(letters.maps(random, x)[row["layer"]])
    assert row["test_accuracy"] == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize("name", letters.EXPERIMENTS)
def test_what_letters_are_worth_holds_each_draw(name):
    table = tl.recorded_runs(name)
    assert set(table["draw"]) == set(letters.DRAWS)
    runs = table.dropna(subset="per_class")
    assert set(runs.groupby(["input", "per_class"]).size()) == {len(letters.DRAWS)}


def test_what_each_move_takes_is_counted_again():
    """Bytes and parameters of a step do not depend on a seed, so they are the same to the byte."""
    backbone, task = tl.load_backbone().at_size(move_less.SIZE), move_less.digits(0)
    table = tl.recorded_runs("move_less").set_index(["move", "seed"])
    for name in ("lora, rank 4", "biases"):
        options = move_less.OURS[name]
        said = table.loc[(name, 0)]
        counted = move_less._bytes(backbone, task, **options)
        assert counted["bytes_gradients"] == 4 * said["parameters"]
        assert {owner: said[owner] for owner in counted} == counted
    head = tl.patterns.standalone_extractor(backbone, task, progress=False)
    assert head.test_accuracy == pytest.approx(table.loc[("head", 0), "test_accuracy"], abs=0.005)


def test_moving_less_holds_each_seed():
    for name, by in {
        "move_less": "move",
        "peer_peft": "package",
        "peer_peft_steps": "package",
    }.items():
        table = tl.recorded_runs(name)
        assert set(table["seed"]) == set(move_less.SEEDS)
        assert (table.groupby(by).size() == len(move_less.SEEDS)).all()
    assert "test_accuracy" not in tl.recorded_runs("move_less_rates")  # it only chose the rates


def test_an_experiment_that_is_none_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="few_labels"):
        tl.recorded_runs("few_label")


def test_photographs_that_are_made_small_are_read_again_as_recorded():
    backbone, things = tl.load_backbone(), tl.load_task("things")
    clean, labels = shift.photographs(backbone, things, None)
    small, _ = shift.photographs(backbone, things, tl.Corruption("scale", 5))
    table = tl.recorded_runs(shift.EXPERIMENT)
    table = table[table["part"] == "things"]
    for seen, kind in ((clean, "inside"), (small, "scale")):
        again = [shift.things_once(clean, seen, labels, draw) for draw in range(shift.DRAWS)]
        said = table[(table["kind"] == kind) & (table["strength"] == 5 * (kind == "scale"))]
        assert said["accuracy"].item() == pytest.approx(math.fsum(again) / len(again), abs=0.01)


def test_the_changing_world_holds_each_cell():
    table = tl.recorded_runs(shift.EXPERIMENT)
    worlds = 1 + len(shift.OF_DIGITS)
    cells = {
        "strength": 3 * (1 + 5 * len(shift.STRENGTHS)),
        "views": len(shift.augmentations()) * worlds,
        "line": len(shift.ALPHAS) * worlds,
    }
    for part, each in cells.items():
        runs = table[table["part"] == part]
        assert len(runs) == each * len(shift.SEEDS)
        assert runs["accuracy"].between(0, 1).all()


def test_the_exported_files_hold_each_format_and_precision():
    table = tl.recorded_runs("exported")
    formats = {("eager", "float32"), ("eager", "bfloat16")}
    formats |= {(kind, p) for kind in ("pt2", "onnx") for p in export.PRECISIONS}
    for _, rows in table.groupby("result"):
        assert set(zip(rows["format"], rows["precision"], strict=True)) == formats
        assert (rows[rows["precision"] == "float32"]["difference"] < 1e-4).all()
    assert set(table["result"]) == {"probe", "fine_tuned"}
    assert list(tl.recorded_runs("eight_bits")["way"]) == list(export.EIGHT_BITS)


def test_one_exported_file_is_made_again(tmp_path):
    result = export.probe()
    file = tl.export(result, tmp_path / "model.pt2", precision="int8")
    found = export.compared(result, export.answers(file, export.inputs(result)))
    table = tl.recorded_runs("exported").set_index(["result", "format", "precision"])
    said = table.loc[("probe", "pt2", "int8")]
    assert file.size == pytest.approx(said["bytes"], rel=0.02)
    assert found["accuracy"] == pytest.approx(said["accuracy"], abs=0.01)
    assert found["same"] == pytest.approx(said["same"], abs=0.01)


def test_the_pixels_answer_the_tries_of_the_capstone_again():
    task = replace(tl.load_task("capstone"), test=capstone_part("tries"))
    answers, _ = capstone.pixels(task)
    table = tl.recorded_runs(capstone.RUNS)
    said = table[(table.baseline == "pixels") & (table.part == "tries")].iloc[0]
    same = np.array(list(map(int, said["answers"]))) == answers
    assert same.mean() > 0.98
    assert said["right"] / said["n"] == pytest.approx(
        (answers == task.test.labels).mean(), abs=0.01
    )
    assert set(table.groupby("part").size()) == {4}


def test_the_ideas_of_the_capstone_hold_each_seed_and_no_private_part():
    table = tl.recorded_runs("capstone_ideas")
    assert set(table.groupby("idea").size()) == {len(capstone.SEEDS)}
    assert set(table["part"]) == {"tries"}


def test_what_the_bands_of_sounds_know_is_measured_again():
    x = speech.features(speech.BANDS)
    numbers, prompts = x["numbers"]["bands"], x["prompts"]["bands"]
    table = tl.recorded_runs("speech_scores")
    bands = table[table.network == speech.BANDS]
    for direction in speech.DIRECTIONS:
        again = speech.what(numbers, speech.nearest_mean, direction)
        said = bands[(bands.question == "word") & (bands.pair == " -> ".join(direction))]
        assert again == pytest.approx(said.accuracy.item(), abs=0.08)  # 2 of 28 words
    again = speech.who(prompts, speech.nearest_mean, 0)["voice"]
    said = bands[(bands.question == "voice") & (bands.seed == 0)]
    assert again == pytest.approx(said.accuracy.item(), abs=0.02)


def test_the_questions_about_sounds_are_asked_of_each_network_and_pair():
    table = tl.recorded_runs("speech_scores")
    for _, rows in table.groupby("network"):
        assert set(rows.question) == set(speech.QUESTIONS)
        words = rows[rows.question == "digit"]
        assert set(words.pair) == {" -> ".join(pair) for pair in speech.DIRECTIONS}
        assert rows[rows.question == "language, new voices"].pair.nunique() == len(speech.NEW)
    assert set(table.network) == set(speech.NETWORKS)


def test_names_are_read_again_without_training_and_with_five_labels():
    data = text.emoji(layers=())
    rows = data.split(3)
    train, test = rows["train"], rows["test"]
    assert not set(test) & {*train, *rows["val"]}
    table = tl.recorded_runs("names_and_drawings")
    table = table[table["seed"] == 3].set_index("input")
    zero = text.right(data.vectors[test] @ data.classes.T, data.labels[test])
    assert table.loc["name, no training", "accuracy"] == pytest.approx(zero, abs=0.001)
    draws = [text.few(data.labels, train, 5, 3, draw) for draw in text.DRAWS]
    again = [text.few_labels_once(data.vectors, data.labels, some, test) for some in draws]
    said = table[table["per_class"] == 5].loc["name, MiniLM", "accuracy"]
    assert said == pytest.approx(math.fsum(again) / len(again), abs=0.005)


def test_names_drawings_and_paragraphs_hold_each_draw():
    names = tl.recorded_runs("names_and_drawings")
    runs = names.fillna({"per_class": 0}).groupby(["input", "per_class"])["seed"]
    assert set(runs.nunique()) == {len(text.SEEDS)}
    runs = tl.recorded_runs("words_repeat").groupby(["input", "per_class"])["draw"]
    assert set(runs.nunique()) == {len(text.DRAWS)}


def test_a_paragraph_is_counted_again():
    some = tl.texts("paragraphs")
    words = [paragraph for each in some.values() for paragraph in each]
    y = np.repeat(np.arange(len(some)), [len(each) for each in some.values()])
    table = tl.recorded_runs("words_repeat")
    said = table[(table["per_class"] == 5) & (table["draw"] == 0)].set_index("input")["accuracy"]
    for name, accuracy in text.paragraphs_once(words, y, 5, 0).items():
        assert said[name] == pytest.approx(accuracy, abs=0.01)
