"""Questions of notebook 09: which mistake is it, and how would you mend or prove it?"""

from collections.abc import Callable
from functools import cache
from typing import Any

from tlcourse._exercise import Exercise, Misconception, number, same_text
from tlcourse._prediction import Prediction

# The table of suspects at the start of the notebook, with other ways to write each one.
_SUSPECTS = {
    "augmented test": ("augmentation", "augmented tests", "augmentation on the test set"),
    "batchnorm": ("batch norm", "batch-norm", "batch normalisation", "batch normalization"),
    "label order": ("labels", "order of the labels", "label-order", "class order"),
    "leak": ("leakage", "data leak", "the same picture in training and test"),
    "learning rate": ("rate", "learning-rate", "lr", "learning_rate"),
    "normalisation": ("normalization", "wrong normalisation", "wrong normalization"),
    "old head": (
        "the old head",
        "old-head",
        "frozen head",
        "the frozen head",
        "optimiser",
        "optimizer",
    ),
    "outputs": ("output", "number of outputs"),
    "too few epochs": ("few epochs", "epochs"),
    "too few pictures": ("few pictures", "pictures"),
    "training mode": ("train mode", "training-mode", "evaluation in training mode"),
    "wrong layer": ("layer", "the wrong layer"),
}


def _names(suspect: str) -> Callable[[Any], bool]:
    return lambda answer: same_text(answer, suspect, *_SUSPECTS[suspect])


def _case(
    number_of_case: int, suspect: str, praise: str, hints: tuple[str, ...], **clear: str
) -> Exercise:
    """Ask for a suspect; `clear` says, with _ for a space, what speaks against the others."""
    against = {name.replace("_", " "): says for name, says in clear.items()}
    others = [name for name in _SUSPECTS if name != suspect and name not in against]
    in_the_table = Misconception(
        "in the table",
        lambda answer: any(_names(name)(answer) for name in others),
        "That is in the table, but it does not explain these symptoms. "
        "Which of them would look different?",
        others[0],
    )
    return Exercise(
        id=f"09.{number_of_case}",
        question=f"Which mistake is it in case {number_of_case}?",
        right=_names(suspect),
        praise=praise,
        misconceptions=(
            *(Misconception(name, _names(name), says, name) for name, says in against.items()),
            in_the_table,
        ),
        hints=hints,
        otherwise=(
            "Take a short name out of the table of suspects. For each one, ask which of the "
            f"symptoms of case {number_of_case} it cannot explain."
        ),
        expects="a short name out of the table of suspects, as a text",
    )


# --- 09.4: a mended preparation, tried on pictures of one colour and on a photograph ---

_COLOURS = ((0, 0, 0), (255, 255, 255), (200, 100, 30))


@cache
def _plain_pictures() -> tuple[Any, ...]:
    from PIL import Image

    return tuple(Image.new("RGB", (160, 160), colour) for colour in _COLOURS)


def _gives(prepare: Any, values: Callable[[Any], Any]) -> bool:
    """Whether pictures of one colour become `values(colour from 0 to 255, a tensor (3,))`."""
    import torch

    if not callable(prepare):
        raise TypeError("not a function")
    for colour, picture in zip(_COLOURS, _plain_pictures(), strict=True):
        wanted = values(torch.tensor(colour, dtype=torch.float32)).view(3, 1, 1)
        found = prepare(picture.copy())
        if not isinstance(found, torch.Tensor) or found.shape != (3, 96, 96):
            return False
        if (found.float() - wanted).abs().max() > 0.02:
            return False
    return True


@cache
def _coffee() -> tuple[Any, Any]:
    """A photograph that is not square, and the tensor that the weights' own preprocessing gives."""
    from tlcourse.backbones import load_backbone
    from tlcourse.tasks import photographs

    picture = photographs("coffee")["coffee"]
    return picture, load_backbone(device="cpu").at_size(96).preprocess(picture)


def _photograph(prepare: Any) -> str:
    """What becomes of a photograph: "right", "random" or another "geometry"."""
    import torch

    picture, wanted = _coffee()
    with torch.random.fork_rng(devices=[]):  # a random flip must show, and the same way each time
        torch.manual_seed(0)
        found = [prepare(picture.copy()).float() for _ in range(6)]
    if any(again.shape != wanted.shape for again in found):
        return "geometry"
    if any(not torch.equal(again, found[0]) for again in found):
        return "random"
    difference = (found[0] - wanted).abs()  # a resized tensor is rounded in another way
    return "right" if difference.mean() < 0.005 and difference.max() < 0.1 else "geometry"


def _imagenet(colour: Any) -> Any:
    import torch

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (colour / 255 - mean) / std


def _painter(values: Callable[[Any], Any], form: Callable[[Any], Any] | None = None) -> Any:
    """A `prepare` that turns a picture of one colour into `values(colour)`, then into a form."""

    def prepare(picture: Any) -> Any:
        import torch

        colour = torch.tensor(picture.getpixel((0, 0)), dtype=torch.float32)
        tensor = values(colour).view(3, 1, 1).expand(3, 96, 96)
        return tensor if form is None else form(tensor)

    return prepare


def _recipe(cutting: str, scaled: bool = True, **settings: Any) -> Any:
    """A `prepare` of torchvision's steps, the first of which has this name."""
    import torch
    from torchvision.transforms import v2

    types = [v2.ToDtype(torch.float32, scale=True)] if scaled else []
    first = getattr(v2, cutting)(**settings)
    return v2.Compose([first, v2.PILToTensor(), *types, v2.Normalize([0.5] * 3, [0.5] * 3)])


def _scaled(colour: Any) -> Any:
    return colour / 127.5 - 1


def _tried(prepare: Any) -> Any:
    return prepare(_plain_pictures()[0].copy())


def _normalises_integers(prepare: Any) -> bool:
    try:
        _tried(prepare)
    except TypeError as error:
        return "float tensor" in str(error)
    return False


def _is_array(found: Any) -> bool:
    import numpy as np

    return isinstance(found, np.ndarray)


def _other_shape(found: Any) -> bool:
    import torch

    return isinstance(found, torch.Tensor) and found.shape not in ((3, 96, 96), (1, 3, 96, 96))


# --- 09.10: a proof of their own, tried on networks of a few lines ---

# Name -> what a right proof says of it.
_TRIED = {
    "evaluation": True,
    "training": False,
    "rounded": True,
    "near": False,
    "first": False,
    "last": False,
}


def _networks(modes: list[bool] | None = None) -> dict[str, Any]:
    """Name -> a small network, made anew, so that nobody's calls move another's averages.

    The mode in which BatchNorm of the one in training mode really runs is appended to `modes`.
    """
    import torch
    from torch import nn

    def norm(training: bool) -> Any:
        module = nn.BatchNorm2d(3)
        module.running_mean = torch.tensor([0.5, -1.0, 2.0])
        if training and modes is not None:
            module.register_forward_pre_hook(lambda m, _: modes.append(m.training))
        return nn.Sequential(module, nn.Flatten()).train(training)

    class InCompany(nn.Module):
        """Scores are another in company: a factor, a shift, a shift of one place only."""

        def __init__(self, shift: float, factor: float = 1.0, place: Any = slice(None)) -> None:
            super().__init__()
            self.shift, self.factor, self.place = shift, factor, place
            self.eval()

        def forward(self, pictures: Any) -> Any:
            scores = pictures.flatten(1).clone()
            if len(pictures) > 1:
                half = scores.shape[1] // 2
                scores[self.place, :half] = scores[self.place, :half] * self.factor + self.shift
            return scores

    return {
        "evaluation": norm(False),
        "training": norm(True),
        "rounded": InCompany(5e-7, 1 + 5e-7),  # as if it added up in another order
        "near": InCompany(0.01),
        "first": InCompany(5.0, place=0),
        "last": InCompany(5.0, place=-1),
    }


def _answers(proof: Any, modes: list[bool] | None = None) -> dict[str, Any]:
    """What a learner's function returns for each network."""
    import torch

    if not callable(proof):
        raise TypeError("not a function")
    pictures = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return {name: proof(network, pictures.clone()) for name, network in _networks(modes).items()}


def _several(answer: Any) -> bool:
    if isinstance(answer, list | tuple):
        return True
    return getattr(answer, "ndim", 0) > 0 and len(answer) > 1


def _says(proof: Any, **wanted: bool | None) -> bool:
    """Whether a learner's function says this of the networks, one answer for each."""
    found = _answers(proof)
    if any(_several(answer) for answer in found.values()):
        return False
    said = {name: None if a is None else bool(a) for name, a in found.items()}
    return all(said[name] is answer for name, answer in wanted.items())


def _switches(proof: Any) -> bool:
    """Whether the network that comes in training mode runs in evaluation mode."""
    modes: list[bool] = []
    _answers(proof, modes)
    return not all(modes)


def _alone(network: Any, pictures: Any) -> Any:
    import torch

    with torch.no_grad():
        return torch.cat([network(one) for one in pictures.split(1)])


def _proof(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A proof that compares what the network gives in company and alone."""

    def same_alone(network: Any, pictures: Any) -> Any:
        return compare(network(pictures), _alone(network, pictures))

    return same_alone


def _mends_first(network: Any, pictures: Any) -> bool:
    import torch

    before = network.training
    network.eval()
    same = torch.allclose(network(pictures), _alone(network, pictures), atol=1e-4)
    network.train(before)
    return same


def _differ(company: Any, alone: Any) -> bool:
    return bool((company - alone).abs().max() > 1e-4)


_WHAT_LETTER = {
    "A": "Without a seed you could not repeat the symptoms. It makes no training bad.",
    "B": "A copy is what fine-tuning starts from. Look at how far this copy has gone afterwards.",
    "C": "The new head fits: 1280 numbers in, 7 scores out. The first loss is that of guessing.",
    "D": "That line keeps BatchNorm's averages where they were, which is right for small batches.",
    "E": "200 pictures are seen once, 8 at a time. That can be too little to learn much, but the "
    "loss would not climb above that of guessing.",
    "F": "Pictures and labels are taken at the same places, so they belong together.",
}


def _letter(letter: str) -> Callable[[Any], bool]:
    return lambda answer: same_text(answer, letter, f"line {letter}")


EXERCISES = (
    _case(
        1,
        "old head",
        "The head that makes the predictions is not the one that the optimiser moves.",
        (
            "A loss that is the same to the last digit: what does that say of the weights?",
            "The new head has gradients. Who takes a step along them, and when was it made?",
            "In which order do the optimiser and the new head come into being?",
        ),
        too_few_epochs="The loss is the same after each epoch, to the last digit. Ten times as "
        "many epochs of no change are no change.",
        learning_rate="Two rates, one of them a hundred times the other, give the same losses to "
        "the last digit. A rate that is too high or too low would give different ones.",
        outputs="The head gives as many scores as there are kinds, and the loss is near that of "
        "guessing among seven.",
        too_few_pictures="With few pictures the loss on the training pictures falls quickly. Here "
        "it does not move at all.",
        normalisation="Pictures of a wrong scale can be learned badly, but the loss would still "
        "change a little in each epoch.",
        training_mode="Only the head runs here, on stored embeddings, and a linear layer gives "
        "the same in both modes.",
        batchnorm="The embeddings were stored before the training, so no average can move them "
        "now. What should have moved, and did not?",
        label_order="If names were mixed up, the head would still learn them: the loss on the "
        "training pictures would fall.",
    ),
    Exercise(
        id="09.2",
        question="How many scores does the network of case 2 give for one picture?",
        right=lambda a: number(a) == 1000,
        praise="`out_features` is only a note on the layer. The weights are still those of 1000 "
        "classes, and most of the scores belong to things that nobody asked for.",
        misconceptions=(
            Misconception(
                "believes the note",
                lambda a: number(a) == 7,
                "So the layer says of itself. But then no answer could be a class above 6.",
                7,
            ),
            Misconception(
                "inputs",
                lambda a: number(a) == 1280,
                "These numbers go into the layer. How many come out?",
                1280,
            ),
            Misconception(
                "largest seen",
                lambda a: 7 < number(a) < 1000,
                "Counting begins at 0, so there must be more scores than the largest class number "
                "among the answers. And not every class must have been an answer. Ask the "
                "layer's weights.",
                900,
            ),
            Misconception(
                "pictures",
                lambda a: number(a) == 1001,
                "Counting begins at 0, but you need not add one to what the weights say.",
                1001,
            ),
        ),
        hints=(
            "Believe what a layer does, not what it says of itself.",
            "Give the layer one embedding of zeros and look at the shape that comes out.",
            "`backbone.model.classifier.weight.shape` has not been changed by the program.",
        ),
        otherwise="Count what comes out of the layer for one embedding.",
        expects="a whole number",
    ),
    _case(
        3,
        "label order",
        "The scores are right, the list of names is not: it is not in the weights' own order.",
        (
            "Is the network unsure, or is it sure of something odd?",
            "One odd name for nearly all ants: the network does find what they have in common.",
            "Score number 310 is called `names[310]`. Who says that this is right?",
        ),
        normalisation="A wrong scale blurs the kinds: both would get the same few names. Here each "
        "kind has one name of its own.",
        outputs="There are as many scores as names. Look at which name belongs to which score.",
        too_few_epochs="Nothing is trained in this program.",
        too_few_pictures="Nothing is learned from these pictures. Few of them would make the "
        "number less certain; they would not call every ant by one odd name.",
        wrong_layer="No layer is chosen here: these are the network's own last scores.",
        training_mode="The scores are stored, so how the network is switched cannot matter now. "
        "And the network that made them saw what the ants have in common.",
        leak="Nothing is learned here, and a leak makes a number better than it should be.",
    ),
    Exercise(
        id="09.4",
        question="Write the mended `prepare` of case 4.",
        right=lambda a: _gives(a, _scaled) and _photograph(a) == "right",
        praise="From -1 for black to 1 for white, as the weights are used to. "
        "`ToDtype` only changes the type, unless you say `scale=True`.",
        misconceptions=(
            Misconception(
                "nothing changed",
                lambda a: _gives(a, lambda c: (c - 0.5) / 0.5),
                "White becomes 509, as before. Which value does `Normalize` expect for white?",
                lambda: _painter(lambda c: (c - 0.5) / 0.5),
            ),
            Misconception(
                "no normalisation",
                lambda a: _gives(a, lambda c: c / 255),
                "Now black is 0 and white is 1. These weights want black to be -1.",
                lambda: _painter(lambda c: c / 255),
            ),
            Misconception(
                "scaled twice",
                lambda a: _gives(a, lambda c: c / 255 / 255 * 2 - 1),
                "Now all values are close to -1: you divide by 255 twice.",
                lambda: _painter(lambda c: c / 255 / 255 * 2 - 1),
            ),
            Misconception(
                "another network's numbers",
                lambda a: _gives(a, _imagenet),
                "Mean and deviation are those that many other networks use. Print "
                "`backbone.preprocess` for those of this one.",
                lambda: _painter(_imagenet),
            ),
            Misconception(
                "random",
                lambda a: _gives(a, _scaled) and _photograph(a) == "random",
                "Prepare one picture twice: two different tensors come out. Nothing random "
                "belongs here.",
                lambda: _recipe("RandomResizedCrop", size=96),
            ),
            Misconception(
                "geometry",
                lambda a: _gives(a, _scaled) and _photograph(a) == "geometry",
                "Black and white are right, but a photograph comes out otherwise. Keep "
                "`Resize(110)` with `BICUBIC`, and `CenterCrop(96)`.",
                lambda: _recipe("Resize", size=(96, 96)),
            ),
            Misconception(
                "integers",
                _normalises_integers,
                "`Normalize` wants numbers with a decimal point: the type has to change before it.",
                lambda: _recipe("CenterCrop", scaled=False, size=96),
            ),
            Misconception(
                "a batch",
                lambda a: tuple(_tried(a).shape) == (1, 3, 96, 96),
                "One picture, no batch: leave out `[None]`.",
                lambda: _painter(_scaled, lambda tensor: tensor[None]),
            ),
            Misconception(
                "an array",
                lambda a: _is_array(_tried(a)) and _tried(a).ndim == 3,
                "A tensor is wanted, not an array.",
                lambda: _painter(_scaled, lambda tensor: tensor.numpy()),
            ),
            Misconception(
                "returns nothing",
                lambda a: _tried(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: _painter(_scaled, lambda tensor: None),
            ),
            Misconception(
                "another shape",
                lambda a: _other_shape(_tried(a)),
                "The tensor has another shape than (3, 96, 96). The cutting was right before.",
                lambda: _painter(_scaled, lambda tensor: tensor[:, :90]),
            ),
        ),
        hints=(
            "Call the program's `prepare` on a white picture and print the largest value.",
            "`backbone.preprocess` gives values from -1 to 1. Compare step by step: which step of "
            "`prepare` should bring 0..255 to 0..1?",
            "Read what `v2.ToDtype(torch.float32, scale=...)` does with `scale`.",
        ),
        otherwise="Try your function on a white and on a black picture: 1 and -1 should come out.",
        expects="a function of one PIL picture that returns a tensor",
    ),
    _case(
        5,
        "augmented test",
        "Random crops are for training. In a test they change the pictures that you count on.",
        (
            "The network stands still. What else goes into the number?",
            "What does `load` do each time that it is called?",
            "Compare `load(task.test)` with itself, called twice.",
        ),
        training_mode="The printed line says that the network is not in training mode, and the "
        "same tensor gives the same scores twice.",
        normalisation="A wrong scale would spoil each measurement in the same way. Here one network "
        "gets another number each time.",
        batchnorm="No tensor of the network has moved: parameters and averages are the same, bit "
        "for bit, before and after.",
        leak="A leak gives one number that is too good. It would be the same one each time.",
        too_few_pictures="Few pictures make a number uncertain. But the same few pictures in the "
        "same network give the same number.",
        too_few_epochs="A network that has learned too little is wrong in the same way each time.",
        learning_rate="Nothing learns between one measurement and the next.",
    ),
    _case(
        6,
        "training mode",
        "BatchNorm takes its averages from the batch: each answer depends on the company.",
        (
            "What can one picture's answer have to do with the pictures beside it?",
            "In notebook 04 a drawing got other scores in other company. When?",
            "`load_state_dict` brings weights and averages. Which switch does it not touch?",
        ),
        augmented_test="The tensors were made once, and in the same order the answers are the "
        "same. Nothing is random here but the order.",
        batchnorm="Near, but that suspect spoils a *training*. Nothing is trained here, and all "
        "stored averages came in with the file. The question is why they are not used.",
        label_order="Wrong names would be wrong in every order of the pictures.",
        normalisation="Both programs get the same tensors, and a wrong scale would not care which "
        "pictures stand beside one another.",
        outputs="All keys matched, so the head is the one that was stored, with seven outputs.",
        wrong_layer="It is the whole network as it was stored, head and all.",
        too_few_epochs="Before it was stored, the same weights were right far more often.",
    ),
    _case(
        7,
        "leak",
        "The copies were made before the split, so many test pictures had been learned by heart.",
        (
            "Two sets of drawings, both drawn at random. Why should one be so much easier?",
            "Follow one clothing drawing: how often does it stand in `rows`?",
            "Where do the copies of one drawing go when `rows` is shuffled and cut in two?",
        ),
        too_few_pictures="Few pictures explain why new ones are harder than learned ones. But the "
        "test pictures should be as new as the others, and they are not as hard.",
        augmented_test="Nothing random is done to the test pictures, and it would make the "
        "number worse, not better.",
        label_order="Mixed-up names make a number worse. This one is too good.",
        too_few_epochs="All training pictures are right. There is nothing left to learn.",
        training_mode="Only a linear head is measured. It has no BatchNorm, no dropout: both "
        "modes are the same for it.",
        learning_rate="A rate that is too high would spoil the test pictures as well.",
    ),
    _case(
        8,
        "batchnorm",
        "No weight moved, but the stored averages did: in training mode they follow the batches.",
        (
            "No weight of the body moved, yet its embeddings changed. What else is in a body?",
            "`state_dict()` holds more than `parameters()`. What is missing in the count?",
            "Which layers keep averages of what they have seen, and in which mode?",
        ),
        training_mode="Near: a mode does play a part. But that suspect means that the "
        "*measurement* runs in training mode, and `net_8.eval()` stands before it. What did the "
        "training leave behind?",
        too_few_pictures="The head on the stored embeddings had the same pictures and was right "
        "more often.",
        too_few_epochs="The same head, trained for as long on the stored embeddings, is right "
        "more often. And why would the body's embeddings change?",
        learning_rate="Not one weight of the body moved, so no step can have erased it.",
        old_head="The head does learn: the loss of the last batches is lower than that of the first.",
        normalisation="The tensors are the same as in the yardstick, which got more right.",
        augmented_test="The test tensors were made once. Measuring again gives the same number.",
        leak="A leak makes a number too good. This one is too low.",
    ),
    Exercise(
        id="09.9",
        question="Which lettered line of case 9 has to change?",
        right=_letter("G"),
        praise="Steps of this size carry the weights far away from what they had learned. A "
        "hundredth of this rate keeps most of it.",
        misconceptions=tuple(
            Misconception(f"line {letter}", _letter(letter), says, letter)
            for letter, says in _WHAT_LETTER.items()
        ),
        hints=(
            "The loss begins at that of guessing. What makes it go up from there?",
            "At the end the loss is far above that of guessing. A step that is too small cannot do that.",
            "Which line says how long a step is? Compare its number with those of notebook 05.",
        ),
        otherwise='Answer with one of the letters in the comments, such as "A".',
        expects='one letter, such as "A"',
    ),
    Exercise(
        id="09.10",
        question="Write a proof: does each picture get the same scores alone as in company?",
        right=lambda a: _says(a, **_TRIED),
        praise="This one function catches case 6 and every other way in which pictures of a batch "
        "look at one another.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: _says(a, **dict.fromkeys(_TRIED)),
                "Your function returns nothing. Does it end with `return`?",
                lambda: _proof(lambda company, alone: None),
            ),
            Misconception(
                "one for each picture",
                lambda a: all(_several(answer) for answer in _answers(a).values()),
                "Your function returns one value for each picture. Combine them with `.all()`.",
                lambda: _proof(lambda company, alone: ((company - alone).abs() < 1e-4).all(dim=1)),
            ),
            Misconception(
                "exact",
                lambda a: _says(a, **_TRIED | {"rounded": False}),
                "Nearly. Large sums are rounded in another way in another batch, so scores of a "
                "sound network may differ in the last digits. Allow 0.0001.",
                lambda: _proof(lambda company, alone: bool((company == alone).all())),
            ),
            Misconception(
                "mends before it looks",
                lambda a: _says(a, evaluation=True, training=True) and _switches(a),
                "Your function switches the network into evaluation mode. So it mends what it "
                "should find, and never finds it. Measure the network as it comes.",
                lambda: _mends_first,
            ),
            Misconception(
                "always content",
                lambda a: _says(a, evaluation=True, training=True, near=True) and not _switches(a),
                "It says True even of a network in training mode. Do you really give it one "
                "picture at a time, and then all together?",
                lambda: (
                    lambda network, pictures: bool((network(pictures) == network(pictures)).all())
                ),
            ),
            Misconception(
                "too generous",
                lambda a: _says(a, evaluation=True, training=False, near=True),
                "One of the networks that were tried gives scores that differ by 0.01, and your "
                "function says True. Compare the scores themselves, and allow only 0.0001.",
                lambda: _proof(
                    lambda company, alone: bool((company.argmax(1) == alone.argmax(1)).all())
                ),
            ),
            Misconception(
                "some pictures only",
                lambda a: (
                    _says(a, evaluation=True, training=False, near=False)
                    and (_says(a, first=True) or _says(a, last=True))
                ),
                "One of the networks that were tried treats a single picture of the batch in "
                "another way, and your function says True. Compare all pictures.",
                lambda: _proof(
                    lambda company, alone: bool((company[0] - alone[0]).abs().max() < 1e-4)
                ),
            ),
            Misconception(
                "turned round",
                lambda a: _says(a, **{name: not said for name, said in _TRIED.items()}),
                "Turned round: True should mean that the scores are the same.",
                lambda: _proof(_differ),
            ),
        ),
        hints=(
            "`network(pictures)` gives the scores in company.",
            "`pictures.split(1)` gives batches of one picture; `torch.cat` puts scores together.",
            "`torch.allclose(company, alone, atol=1e-4)`, and leave the network's mode as it is.",
        ),
        otherwise="It should say True of a network in evaluation mode, and False of one with "
        "BatchNorm in training mode.",
        expects="a function of a network and a batch of pictures that returns True or False",
    ),
)


PREDICTIONS = (
    Prediction(
        id="09.A",
        question="How many of the nine programs end no better than a network that always gives "
        "the most frequent answer?",
        options=("none", "one or two", "three to five", "six or more"),
        figure="Figure 7",
        look="Compare each square with the small line that marks the most frequent answer.",
    ),
    Prediction(
        id="09.B",
        question="With half of the test pictures in one batch, is training mode as good as "
        "evaluation mode?",
        options=("worse", "as good", "better"),
        figure="Figure 3",
        look="Compare the last point of the line with the dashed line.",
    ),
    Prediction(
        id="09.C",
        question="By how many points is the test accuracy too high if half of the test pictures "
        "also stand in training?",
        unit="points",
        within=1.5,
        figure="Figure 4",
        look="Follow the line of the test drawings from 0 to one half.",
    ),
)
