"""Questions of notebook 02: cats, a baseline, a mended loader, sure and wrong."""

import numpy as np

from tlcourse.course.exercise import (
    Exercise,
    Misconception,
    close,
    number,
    same_set,
    wrong_number,
)
from tlcourse.course.lessons.tries02 import (
    BIG_CATS,
    CATS,
    EXACT,
    by_preprocess,
    calls_preprocess,
    classes,
    gives,
    linear,
    n_right,
    names,
    on_black,
    own_statistics,
    sure_of_something_else,
    without_return,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="02.1",
        question="Which five classes of the network mean a house cat?",
        right=lambda a: same_set(a, CATS),
        praise="Add their probabilities, and you have a detector of cats.",
        misconceptions=(
            Misconception(
                "big cats",
                lambda a: bool({str(name).lower() for name in a} & BIG_CATS),
                "Cats of the wild are in your list. The question asks for house cats.",
                [*CATS, "cougar", "lynx"],
            ),
            Misconception(
                "the word cat",
                lambda a: bool(names(a) & {"polecat", "madagascar cat", "catamaran"}),
                "Having `cat` in the name does not make it one. And is one of them missing that "
                "does not have the word in its name?",
                ["tiger cat", "Persian cat", "Siamese cat", "Egyptian cat", "polecat"],
            ),
            Misconception(
                "not a class",
                lambda a: bool(names(a) - classes()),
                "Your list has a name that is no class of the network. Look into `backbone.classes` "
                "and copy the names from there.",
                ["cat", "tabby cat"],
            ),
            Misconception(
                "places",
                lambda a: all(int(n) in range(1000) for n in a) and len(list(a)) > 0,
                "Those are places in the list. Give the names: `backbone.classes[...]`.",
                [281, 282, 283, 284, 285],
            ),
            Misconception(
                "some are missing",
                lambda a: bool(names(a)) and names(a) < {n.lower() for n in CATS},
                "All of these are right, but there are five.",
                ["tabby", "tiger cat", "Egyptian cat"],
            ),
            Misconception(
                "a neighbour too many",
                lambda a: (
                    names(a) > {n.lower() for n in CATS}
                    and not names(a) & BIG_CATS
                    and names(a) <= classes()
                ),
                "All five are there. So is something that is no cat at all.",
                ["grey fox", *CATS],
            ),
            Misconception(
                "one name",
                lambda a: a.strip().lower() in {n.lower() for n in CATS},
                "One of them. Give all five, in a list: `[..., ...]`.",
                "tabby",
            ),
        ),
        hints=(
            "`backbone.classes.index('tiger cat')` is the place of one of them.",
            "Print the neighbours of that place: `backbone.classes[278:290]`.",
            "Stop before the first wild one. And one house cat has no `cat` in its name.",
        ),
        otherwise="Look at the classes around `tiger cat` in `backbone.classes`.",
        expects="a list of five names",
    ),
    Exercise(
        id="02.2",
        question="How many training photographs do the two scores get right?",
        right=lambda a: close(a, n_right("train"), absolute=0.5),
        praise="You fitted nothing yourself, so for you both splits serve equally well. The network may "
        "have seen some of them.",
        misconceptions=(
            Misconception(
                "a share",
                lambda a: close(a, n_right("train") / 195, absolute=0.006),
                "The share is right. The question asks how many photographs.",
                lambda: n_right("train") / 195,
            ),
            Misconception(
                "per cent",
                lambda a: close(a, 100 * n_right("train") / 195, absolute=0.6),
                "That is the share, in per cent. The question asks how many photographs.",
                lambda: 100 * n_right("train") / 195,
            ),
            Misconception(
                "validation",
                lambda a: close(a, n_right("val"), absolute=0.5),
                "So many are right among the validation photographs.",
                lambda: n_right("val"),
            ),
            Misconception(
                "all photographs",
                lambda a: close(a, n_right("all"), absolute=0.5),
                "That counts all 397 photographs. Take only those of the training split.",
                lambda: n_right("all"),
            ),
            Misconception(
                "all 1000 classes",
                lambda a: close(a, n_right("train", all_classes=True), absolute=0.5),
                "So many are right when all 1000 classes compete. Compare only two scores.",
                lambda: n_right("train", all_classes=True),
            ),
            Misconception(
                "swapped, or wrong ones",
                lambda a: close(a, 195 - n_right("train"), absolute=0.5),
                "So few? Did you count the wrong ones, or take ants for bees? Which label is the "
                "bee, and which score?",
                lambda: 195 - n_right("train"),
            ),
            wrong_number(
                "how many there are", 195, "So many there are. How many of them are right?", rel=0
            ),
        ),
        hints=(
            "Copy the lines that make `val` and `says_bee`, and change one word.",
            "`shipped.split == 'train'` chooses the photographs.",
            "`(says_bee == (shipped.y[train] == 1)).sum()` counts those that are right.",
        ),
        otherwise="Do as in section 4, with `shipped.split == 'train'`, and count.",
        expects="a whole number",
    ),
    Exercise(
        id="02.3",
        question="Turn values from 0 to 255 into what this network expects.",
        right=lambda a: gives(a, -1.0, 1.0, EXACT),
        praise="0 becomes -1 and 255 becomes 1, as in the network's training.",
        misconceptions=(
            Misconception(
                "nothing",
                lambda a: on_black(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: without_return,
            ),
            Misconception(
                "divided by 256",
                lambda a: gives(a, -1.0, 1.0) and not gives(a, -1.0, 1.0, EXACT),
                "Near: with yours 0 or 255 lands a little beside -1 or 1. Divide by 255.",
                lambda: linear(256, 0.5, 0.5),
            ),
            Misconception(
                "only divided by 255",
                lambda a: gives(a, 0.0, 1.0),
                "Now the values go from 0 to 1. One step is missing: print `backbone.preprocess`.",
                lambda: linear(255, 0, 1),
            ),
            Misconception(
                "mean without std",
                lambda a: gives(a, -0.5, 0.5),
                "The middle is right, the range is too small. What comes after the mean?",
                lambda: linear(255, 0.5, 1),
            ),
            Misconception(
                "numbers of another network",
                lambda a: gives(a, -1.985, 2.441),
                "Those are the mean and standard deviation of many other networks. Which does "
                "this one have?",
                lambda: linear(255, 0.449, 0.2260),
            ),
            Misconception(
                "not divided",
                lambda a: gives(a, -1.0, 509.0),
                "Mean and standard deviation are meant for values from 0 to 1. What comes first?",
                lambda: linear(1, 0.5, 0.5),
            ),
            Misconception(
                "two scales",
                lambda a: gives(a, -255.0, 255.0),
                "Your mean is made for values from 0 to 255, your standard deviation for values from 0 "
                "to 1. Both have to be on one scale.",
                lambda: linear(1, 127.5, 0.5),
            ),
            Misconception(
                "the picture's own mean",
                own_statistics,
                "Your function uses the mean or standard deviation of the picture that comes in. The "
                "network's own are the same for all pictures.",
                lambda: lambda x: (x - x.mean()) / x.std(),
            ),
            Misconception(
                "made for pictures",
                by_preprocess,
                "`backbone.preprocess` is made for pictures (PIL images). It would also resize and "
                "divide by 255. Look at its mean and std, and write the steps.",
                lambda: calls_preprocess,
            ),
            Misconception(
                "colours last",
                lambda a: tuple(on_black(a).shape) == (224, 224, 3),
                "Your function moves the colours to the end. PyTorch wants them first: (3, 224, 224).",
                lambda: lambda x: ((x / 255 - 0.5) / 0.5).permute(1, 2, 0),
            ),
            Misconception(
                "divided last",
                lambda a: gives(a, -1 / 255, 2.0),
                "The right steps in the wrong order. Mean and standard deviation are meant for values "
                "from 0 to 1.",
                lambda: lambda x: (x - 0.5) / 0.5 / 255,
            ),
            Misconception(
                "the other way",
                lambda a: gives(a, 0.5, 1.0),
                "That goes the other way: it is how one undoes it. Subtract and divide.",
                lambda: lambda x: x / 255 * 0.5 + 0.5,
            ),
            Misconception(
                "a batch",
                lambda a: on_black(a).ndim == 4,
                "Your function returns a batch. Give back one picture, of shape (3, 224, 224).",
                lambda: lambda x: ((x / 255 - 0.5) / 0.5).unsqueeze(0),
            ),
            Misconception(
                "called already",
                lambda a: hasattr(a, "ndim"),
                "That is a tensor. Give the function itself, without brackets: `answer = mend`.",
                lambda: np.zeros((3, 224, 224)),
            ),
        ),
        hints=(
            "Two steps: first bring the values to 0 to 1, then normalise.",
            "`backbone.preprocess` shows mean and standard deviation of this network.",
            "To normalise: subtract the mean, then divide by the standard deviation.",
        ),
        otherwise="Try your function on a tensor of zeros and one of 255. What should come out?",
        expects="a function that takes a tensor (3, 224, 224) and returns one",
    ),
    Exercise(
        id="02.4",
        question="On how many validation photographs does a class that is neither get over half?",
        right=lambda a: close(a, sure_of_something_else(), absolute=0.5),
        praise="Few. But for these, a threshold would not have warned you.",
        misconceptions=(
            Misconception(
                "ants and bees counted too",
                lambda a: close(a, sure_of_something_else(any_class=True), absolute=0.5),
                "That counts all sure answers. Leave out those that say ant or bee.",
                lambda: sure_of_something_else(any_class=True),
            ),
            Misconception(
                "all photographs",
                lambda a: close(a, sure_of_something_else("all"), absolute=0.5),
                "That counts all photographs. Take only those of the validation split.",
                lambda: sure_of_something_else("all"),
            ),
            Misconception(
                "training photographs",
                lambda a: close(a, sure_of_something_else("train"), absolute=0.5),
                "That counts the training photographs. Take those of the validation split.",
                lambda: sure_of_something_else("train"),
            ),
            Misconception(
                "however sure",
                lambda a: close(a, sure_of_something_else(above=0.0), absolute=0.5),
                "On so many the best class is neither, however sure it is (or you compared raw "
                "scores with 0.5: softmax first). Take only those above one half.",
                lambda: sure_of_something_else(above=0.0),
            ),
            Misconception(
                "a share",
                lambda a: 0 < number(a) < 1,
                "That is a share. The question asks how many.",
                0.1,
            ),
            Misconception(
                "none",
                lambda a: number(a) == 0,
                "None? Softmax has to run over all 1000 classes of each photograph: `dim=1`.",
                0,
            ),
        ),
        hints=(
            "First turn each row of logits into probabilities, with softmax. `shipped.logits` is a "
            "NumPy array, so `torch.from_numpy` comes before PyTorch's softmax.",
            "`p = torch.from_numpy(shipped.logits[val]).softmax(dim=1)` does it for the rows of `val`.",
            "`p.max(dim=1)` gives the highest probability and its class, for each photograph.",
            "Combine three conditions with `&`, each in brackets, and count.",
        ),
        otherwise="Check the three conditions one by one: above 0.5, not ant, not bee.",
        expects="a whole number",
    ),
)

QUESTIONS = (
    Question(
        id="02.A",
        question="How sure is the surest answer about four things that the network does not know?",
        options=("below 20 %", "20 % to 50 %", "above 50 %"),
        figure="Figure 2",
        where="Find the longest of all bars.",
    ),
    Question(
        id="02.B",
        question="What share of the photographs of ants and bees is right, without any training?",
        options=("below 60 %", "60 % to 75 %", "75 % to 90 %", "above 90 %"),
        figure="Figure 4",
        where="Look where the upper bar ends. The black line on it covers the accuracies that fit these "
        "photographs.",
    ),
    Question(
        id="02.C",
        question="How many of the six mistakes at least halve the probability of the right classes?",
        options=("none", "one", "two or three", "four or more"),
        figure="Figure 5",
        where="Halve the first bar in your mind, and count the bars that are shorter than that.",
    ),
)
