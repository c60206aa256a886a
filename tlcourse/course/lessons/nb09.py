"""Questions of notebook 09: which mistake is it, and how would you mend or prove it?"""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.cases09 import case
from tlcourse.course.lessons.tries09 import (
    TRIED,
    WHAT_LETTER,
    answers,
    differ,
    gives,
    imagenet,
    is_array,
    letter_of,
    mends_first,
    normalises_integers,
    other_shape,
    painter,
    photograph,
    proof_of,
    recipe,
    says_of,
    scaled_colour,
    several,
    switches,
    tried,
)
from tlcourse.course.question import Question

EXERCISES = (
    case(
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
    case(
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
        right=lambda a: gives(a, scaled_colour) and photograph(a) == "right",
        praise="From -1 for black to 1 for white, as the weights are used to. "
        "`ToDtype` only changes the type, unless you say `scale=True`.",
        misconceptions=(
            Misconception(
                "nothing changed",
                lambda a: gives(a, lambda c: (c - 0.5) / 0.5),
                "White becomes 509, as before. Which value does `Normalize` expect for white?",
                lambda: painter(lambda c: (c - 0.5) / 0.5),
            ),
            Misconception(
                "no normalisation",
                lambda a: gives(a, lambda c: c / 255),
                "Now black is 0 and white is 1. These weights want black to be -1.",
                lambda: painter(lambda c: c / 255),
            ),
            Misconception(
                "scaled twice",
                lambda a: gives(a, lambda c: c / 255 / 255 * 2 - 1),
                "Now all values are close to -1: you divide by 255 twice.",
                lambda: painter(lambda c: c / 255 / 255 * 2 - 1),
            ),
            Misconception(
                "another network's numbers",
                lambda a: gives(a, imagenet),
                "Mean and deviation are those that many other networks use. Print "
                "`backbone.preprocess` for those of this one.",
                lambda: painter(imagenet),
            ),
            Misconception(
                "random",
                lambda a: gives(a, scaled_colour) and photograph(a) == "random",
                "Prepare one picture twice: two different tensors come out. Nothing random "
                "belongs here.",
                lambda: recipe("RandomResizedCrop", size=96),
            ),
            Misconception(
                "geometry",
                lambda a: gives(a, scaled_colour) and photograph(a) == "geometry",
                "Black and white are right, but a photograph comes out otherwise. Keep "
                "`Resize(110)` with `BICUBIC`, and `CenterCrop(96)`.",
                lambda: recipe("Resize", size=(96, 96)),
            ),
            Misconception(
                "integers",
                normalises_integers,
                "`Normalize` wants numbers with a decimal point: the type has to change before it.",
                lambda: recipe("CenterCrop", scaled=False, size=96),
            ),
            Misconception(
                "a batch",
                lambda a: tuple(tried(a).shape) == (1, 3, 96, 96),
                "One picture, no batch: leave out `[None]`.",
                lambda: painter(scaled_colour, lambda tensor: tensor[None]),
            ),
            Misconception(
                "an array",
                lambda a: is_array(tried(a)) and tried(a).ndim == 3,
                "A tensor is wanted, not an array.",
                lambda: painter(scaled_colour, lambda tensor: tensor.numpy()),
            ),
            Misconception(
                "returns nothing",
                lambda a: tried(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: painter(scaled_colour, lambda tensor: None),
            ),
            Misconception(
                "another shape",
                lambda a: other_shape(tried(a)),
                "The tensor has another shape than (3, 96, 96). The cutting was right before.",
                lambda: painter(scaled_colour, lambda tensor: tensor[:, :90]),
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
    case(
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
    case(
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
    case(
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
    case(
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
        right=letter_of("G"),
        praise="Steps of this size carry the weights far away from what they had learned. A "
        "hundredth of this rate keeps most of it.",
        misconceptions=tuple(
            Misconception(f"line {letter}", letter_of(letter), says, letter)
            for letter, says in WHAT_LETTER.items()
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
        right=lambda a: says_of(a, **TRIED),
        praise="This one function catches case 6 and every other way in which pictures of a batch "
        "look at one another.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: says_of(a, **dict.fromkeys(TRIED)),
                "Your function returns nothing. Does it end with `return`?",
                lambda: proof_of(lambda company, alone: None),
            ),
            Misconception(
                "one for each picture",
                lambda a: all(several(answer) for answer in answers(a).values()),
                "Your function returns one value for each picture. Combine them with `.all()`.",
                lambda: proof_of(
                    lambda company, alone: ((company - alone).abs() < 1e-4).all(dim=1)
                ),
            ),
            Misconception(
                "exact",
                lambda a: says_of(a, **TRIED | {"rounded": False}),
                "Nearly. Large sums are rounded in another way in another batch, so scores of a "
                "sound network may differ in the last digits. Allow 0.0001.",
                lambda: proof_of(lambda company, alone: bool((company == alone).all())),
            ),
            Misconception(
                "mends before it looks",
                lambda a: says_of(a, evaluation=True, training=True) and switches(a),
                "Your function switches the network into evaluation mode. So it mends what it "
                "should find, and never finds it. Measure the network as it comes.",
                lambda: mends_first,
            ),
            Misconception(
                "always content",
                lambda a: says_of(a, evaluation=True, training=True, near=True) and not switches(a),
                "It says True even of a network in training mode. Do you really give it one "
                "picture at a time, and then all together?",
                lambda: (
                    lambda network, pictures: bool((network(pictures) == network(pictures)).all())
                ),
            ),
            Misconception(
                "too generous",
                lambda a: says_of(a, evaluation=True, training=False, near=True),
                "One of the networks that were tried gives scores that differ by 0.01, and your "
                "function says True. Compare the scores themselves, and allow only 0.0001.",
                lambda: proof_of(
                    lambda company, alone: bool((company.argmax(1) == alone.argmax(1)).all())
                ),
            ),
            Misconception(
                "some pictures only",
                lambda a: (
                    says_of(a, evaluation=True, training=False, near=False)
                    and (says_of(a, first=True) or says_of(a, last=True))
                ),
                "One of the networks that were tried treats a single picture of the batch in "
                "another way, and your function says True. Compare all pictures.",
                lambda: proof_of(
                    lambda company, alone: bool((company[0] - alone[0]).abs().max() < 1e-4)
                ),
            ),
            Misconception(
                "turned round",
                lambda a: says_of(a, **{name: not said for name, said in TRIED.items()}),
                "Turned round: True should mean that the scores are the same.",
                lambda: proof_of(differ),
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


QUESTIONS = (
    Question(
        id="09.A",
        question="How many of the nine programs end no better than a network that always gives "
        "the most frequent answer?",
        options=("none", "one or two", "three to five", "six or more"),
        figure="Figure 7",
        where="Compare each square with the small line that marks the most frequent answer.",
    ),
    Question(
        id="09.B",
        question="With half of the test pictures in one batch, is training mode as good as "
        "evaluation mode?",
        options=("worse", "as good", "better"),
        figure="Figure 3",
        where="Compare the last point of the line with the dashed line.",
    ),
    Question(
        id="09.C",
        question="By how many points is the test accuracy too high if half of the test pictures "
        "also stand in training?",
        unit="points",
        within=1.5,
        figure="Figure 4",
        where="Follow the line of the test drawings from 0 to one half.",
    ),
)
