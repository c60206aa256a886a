"""Questions of notebook 09: which mistake is it, and how would you fix or catch it?"""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.cases09 import case
from tlcourse.course.lessons.tries09 import (
    WHAT_LETTER,
    gives,
    imagenet,
    is_array,
    letter_of,
    normalises_integers,
    other_shape,
    painter,
    photograph,
    recipe,
    scaled_colour,
    tried,
)
from tlcourse.course.question import Question

# Between these similarities both conditions of exercise 09.10 hold.
LOWEST, HIGHEST = 0.765, 0.85

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
        too_few_pictures="With few pictures the loss on the training pictures falls quickly. Here "
        "it does not move at all.",
        normalisation="Pictures of a wrong scale can be learned badly, but the loss would still "
        "change a little in each epoch.",
        batchnorm="The embeddings were stored before the training, so no average can move them "
        "now. What should have moved, and did not?",
    ),
    Exercise(
        id="09.2",
        question="Which lettered line of case 2 has to change?",
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
    case(
        3,
        "label order",
        "The scores are right, the list of names is not: it is not in the weights' own order.",
        (
            "Is the network unsure, or is it sure of something odd?",
            "One odd name for nearly all ants: the network does find what they have in common.",
            "Score number 310 is called `names[310]`. Who says that this is right?",
        ),
        normalisation="A wrong scale blurs the classes: both would get the same few names. Here "
        "each class has one name of its own.",
        outputs="There are as many scores as names. Look at which name belongs to which score.",
        too_few_pictures="Nothing is learned from these pictures. Few of them would make the "
        "number less certain; they would not call every ant by one odd name.",
        leak="Nothing is learned here, and a leak makes a number better than it should be.",
    ),
    Exercise(
        id="09.4",
        question="Write the right `prepare` of case 4.",
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
    ),
    case(
        6,
        "training mode",
        "BatchNorm takes its averages from the batch: each answer depends on the neighbours.",
        (
            "What can one picture's answer have to do with the pictures beside it?",
            "In notebook 04 a digit got other scores beside other digits. When?",
            "`load_state_dict` brings weights and averages. Which switch does it not touch?",
        ),
        augmented_test="The tensors were made once, and in the same order the answers are the "
        "same. Nothing is random here but the order.",
        batchnorm="Near, but that suspect spoils a *training*. Nothing is trained here, and all "
        "stored averages came in with the file. The question is why they are not used.",
        label_order="Wrong names would be wrong in every order of the pictures.",
        normalisation="Both programs get the same tensors, and a wrong scale would not care which "
        "pictures stand beside one another.",
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
    ),
    case(
        9,
        "one seed",
        "Each report is true of its own two networks. A verdict on two methods needs several draws.",
        (
            "Both reports are repeatable. So what differs between them?",
            "What does `seed` draw here? How much can that change two networks?",
            "Is the question about two networks, or about two methods?",
        ),
        too_few_pictures="Near: few labelled pictures are why a draw changes so much. But the "
        "question was about two labels. What could still answer it?",
        too_few_epochs="Both reports train for the same epochs, and both have a clear winner. Why "
        "would more epochs make the winners agree?",
        augmented_test="Each report gives the same numbers when it is repeated.",
        training_mode="The symptoms say it: evaluation mode, in both.",
        leak="A leak makes numbers too good. It does not turn a winner into a loser.",
        learning_rate="The rates were chosen on validation pictures, and are the same in both.",
    ),
    Exercise(
        id="09.10",
        question="Which cosine similarity finds 80 % of the near copies and flags at most 10 % of "
        "the clean drawings?",
        right=lambda a: LOWEST <= number(a) <= HIGHEST,
        praise="Below it you look at many innocent pairs, above it you miss copies. No threshold "
        "is perfect, so a person looks at what is flagged.",
        misconceptions=(
            Misconception(
                "only the same bytes",
                lambda a: 0.97 <= number(a) <= 1,
                "Nearly 1 finds exact copies only. These were cut, mirrored and saved again.",
                1,
            ),
            Misconception(
                "too strict",
                lambda a: HIGHEST < number(a) < 0.97,
                "It flags few clean drawings, but it misses more than a fifth of the copies.",
                0.9,
            ),
            Misconception(
                "too loose",
                lambda a: 0 < number(a) < LOWEST,
                "It finds the copies, and flags more than a tenth of the clean drawings, too.",
                0.6,
            ),
            Misconception(
                "in per cent",
                lambda a: 1 < number(a) <= 100,
                "A cosine similarity is at most 1. Give it as a share.",
                82,
            ),
            Misconception(
                "a distance",
                lambda a: -1 <= number(a) <= 0,
                "Copies have a *high* cosine similarity. Did you take a distance?",
                0,
            ),
        ),
        hints=(
            "Bring each embedding to length 1 (`nn.functional.normalize`) and multiply.",
            "Two shares for each threshold: of `planted`, and of the most similar training drawing "
            "of each clean test drawing.",
            "Try 0.70, 0.75, 0.80, 0.85 and 0.90, and print both shares.",
        ),
        otherwise="For a threshold, count how many copies and how many clean drawings reach it.",
        expects="a number from 0 to 1",
    ),
)

QUESTIONS = (
    Question(
        id="09.A",
        question="How many of the eight programs end no better than a network that always gives "
        "the most frequent answer?",
        options=("none", "one or two", "three to five", "six or more"),
        figure="Figure 8",
        where="Compare each square with the small line of one constant answer.",
    ),
    Question(
        id="09.B",
        question="By how many points is the test accuracy too high if exact copies of half of the "
        "test pictures stand in training?",
        unit="points",
        within=1.5,
        figure="Figure 5",
        where="Follow the line of the exact copies from 0 to one half.",
    ),
)
