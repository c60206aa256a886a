"""Notebook 16: four baselines to beat, tries, and a score that is taken once."""

from PIL import Image

from tlcourse.course.exercise import Exercise, Misconception, close, number, wrong_number
from tlcourse.course.lessons.answers import Trained
from tlcourse.course.lessons.tries16 import (
    BEATS,
    BEST_OF_40,
    LIKE,
    UNLIKE,
    Submitted,
    as_it_is,
    is_dark,
    is_fixed,
    little_turn,
    negative,
    on_tries,
    read,
    same_turn,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="16.A",
        question="Which of the four baselines comes last?",
        options=(
            "pixels",
            "pattern 1",
            "probe at the last layer",
            "probe at the best layer",
        ),
        figure="Figure 2",
        where="Look at the lowest row, and at chance: a tenth.",
    ),
    Question(
        id="16.B",
        question="Which layer do the validation pictures choose?",
        options=("stage2", "stage5", "stage7", "embedding"),
        figure="Figure 3",
        where="Where is the curve highest?",
    ),
)


EXERCISES = (
    Exercise(
        id="16.1",
        question="Change clothes so that they look like those of the capstone.",
        right=lambda a: read(a) >= LIKE,
        praise="A probe on your pictures knows the clothes of the capstone without one of its "
        "labels. So the labelled pictures of the old task now help with the new one.",
        misconceptions=(
            Misconception(
                "dark corners",
                lambda a: read(a) < LIKE and is_dark(a),
                "Your pictures have a dark background, those of the capstone a bright one.",
                lambda: as_it_is,
            ),
            Misconception(
                "another side",
                lambda a: read(a) < UNLIKE and not is_dark(a),
                "The background is right. But in which direction does a collar point? Put eight of "
                "yours below eight of the capstone's.",
                lambda: negative,
            ),
            Misconception(
                "always the same",
                lambda a: UNLIKE <= read(a) < LIKE and is_fixed(a),
                "You change all pictures alike. Those of the capstone differ from each other in "
                "angle and in size.",
                lambda: same_turn,
            ),
            Misconception(
                "too little",
                lambda a: UNLIKE <= read(a) < LIKE and not is_dark(a) and not is_fixed(a),
                "You are near. Compare again: by how many degrees does the angle vary from picture to "
                "picture? And how much of the sheet do they fill?",
                lambda: little_turn,
            ),
            Misconception(
                "a picture",
                lambda a: isinstance(a, Image.Image),
                "That is one picture. Hand in the function: `answer = like_the_capstone`.",
                lambda: Image.new("RGB", (128, 128)),
            ),
        ),
        hints=(
            "Three things change in all of them: brightness, direction, and something in front. Begin with "
            "`ImageOps.invert`.",
            "Look at trousers and boots: which way do they point, and by how much does it vary?",
            "Paste the negative, made smaller, on a white sheet, then `sheet.rotate(angle, "
            'fillcolor="white")` with an angle from 80 to 140.',
        ),
        otherwise="The check calls your function with 600 pictures of `fashion`.",
        expects="a function that takes a PIL picture and returns one",
    ),
    Exercise(
        id="16.2",
        question="Beat the best probe on the part for tries.",
        right=lambda a: on_tries(a) >= BEATS,
        praise="The probe is beaten. Before you open the private part: did you choose by the "
        "validation pictures?",
        misconceptions=(
            Misconception(
                "not enough",
                lambda a: on_tries(a) < BEATS,
                "Not clearly above the best probe yet. A probe sees one view of each picture. "
                "Which pattern sees a fresh view in each epoch?",
                lambda: Submitted("tries", 0.652),
            ),
            Misconception(
                "the private part",
                lambda a: a.part == "private",
                "That is your final score, and it counts. This exercise is about the part for tries: "
                "`tl.submit(result)`.",
                lambda: Submitted("private", 0.72),
            ),
            Misconception(
                "a result",
                lambda a: bool(a.pattern),
                "That is the result itself. Submit it, and hand in what `tl.submit(result)` returns.",
                lambda: Trained("frozen_extractor", 0.72),
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in what `tl.submit(result)` returns.",
                0.74,
            ),
        ),
        hints=(
            "The clothes turn from picture to picture. Which head can know *where* something is?",
            "Notebook 04, or notebook 05. For more labels, exercise 16.1.",
            "`tl.patterns.frozen_extractor(backbone, task)`, which has fresh views by default.",
        ),
        otherwise="Hand in what `tl.submit(result)` returns.",
        expects="a `Submission`, as `tl.submit` returns it",
    ),
    Exercise(
        id="16.3",
        question="How high is the best of 40 tries, with networks that are right on .65 each?",
        right=lambda a: close(a, BEST_OF_40, absolute=0.003),
        praise="Four and a half points, from luck alone. That is why the private part is scored once.",
        misconceptions=(
            wrong_number(
                "what each is worth",
                0.65,
                "That is how good each of them is. But the best of 40 was lucky, too.",
                absolute=0.004,
            ),
            wrong_number(
                "best of all repetitions",
                0.746,
                "That is the best of all repetitions together. Take the best of 40 in each "
                "repetition, then the mean.",
                absolute=0.012,
            ),
            wrong_number(
                "1,000 pictures",
                0.6823,
                "That is for 1,000 pictures. The part for tries has 500.",
                absolute=0.003,
            ),
            Misconception(
                "a percentage",
                lambda a: 60 <= number(a) <= 80,
                "Write it as a share from 0 to 1.",
                69.6,
            ),
            Misconception(
                "pictures",
                lambda a: 300 <= number(a) <= 400,
                "That is a number of pictures. Divide it by 500.",
                348,
            ),
        ),
        hints=(
            "`np.random.default_rng(0).binomial(500, 0.65, size=(10_000, 40))` simulates 10,000 "
            "learners with 40 tries each.",
            "`.max(axis=1)` is the best try of each learner. Divide it by 500, and take the mean.",
        ),
        otherwise="The answer is a share a little above .65.",
        expects="a number from 0 to 1",
    ),
)
