"""Slides: each one fits, opens from a folder without a network, and gives no answer away."""

import html
import io
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import nbformat
import pytest
from browser import in_a_browser
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tlcourse.course.check import all_exercises
from tlcourse.course.guess import all_questions
from tlcourse.errors import CourseError
from tools.slides import credits, make, page, plan, texts
from tools.slides.deck import slides_of

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SELF_EXPLAINING = {"The answers"}  # what they show was said on the slides before

# What is wrong with the slide that is shown, in words.
# (Contrast is computed here, since axe cannot tell what lies behind the text of a moved slide.)
FAULTS = """() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => parse(colour).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (el) => {
        for (let at = el; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if ((parse(colour)[3] ?? 1) > 0.5) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const contrast = (el) => {
        const [a, b] = [light(getComputedStyle(el).color), light(behind(el))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const slide = Reveal.getCurrentSlide();
    const page = slide.querySelector(".page").getBoundingClientRect();
    const bottom = page.top + 720 - 34;  // the number of the slide is below
    const faults = [];
    const say = (what, el) => faults.push(`${what}: ${el.outerHTML.slice(0, 90)}`);
    for (const el of slide.querySelectorAll(".page *")) {
        const box = el.getBoundingClientRect();
        if (!box.width && !box.height) continue;
        if (box.left < page.left - 1 || box.right > page.right + 1
            || box.top < page.top - 1 || box.bottom > bottom + 1) say("outside", el);
        if (getComputedStyle(el).display !== "inline"
            && el.clientWidth && el.scrollWidth > el.clientWidth + 1) say("too wide", el);
        if ([...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) {
            const least = el.closest("pre, code") ? 16 : 20;
            if (parseFloat(getComputedStyle(el).fontSize) < least) say("small letters", el);
            if (contrast(el) < 4.5) say("pale", el);
        }
        if (el.tagName === "IMG" && (!el.naturalWidth || box.height < 230)) say("small", el);
    }
    const parts = [...slide.querySelector(".page").children];
    const boxes = parts.map((el) => el.getBoundingClientRect());
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, k) => {
        const [wide, high] = [Math.min(a.right, b.right) - Math.max(a.left, b.left),
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
        if (wide > 1 && high > 11) say("over each other", parts[i + 1 + k]);
    }));
    return faults;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("slides")
    make.make(out)
    return out


@pytest.fixture(scope="module")
def decks():
    return make.decks()


@pytest.fixture
def show(browser):
    """Open a page in a tab of its own; what goes wrong in it is in `tab.wrong`."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)

    def opened(path, query=""):
        tab = context.new_page()
        tab.wrong = []
        tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
        tab.on("console", lambda m: tab.wrong.append(m.text) if m.type == "error" else None)
        tab.on("request", lambda r: tab.wrong.append(r.url) if foreign(r.url) else None)
        tab.goto(path.as_uri() + query)
        tab.wait_for_function("Reveal.isReady()")
        return tab

    yield opened
    context.close()


def letters(text):
    """Letters and digits alone; a PDF may hold "fi" as one sign."""
    return re.sub(r"\W", "", unicodedata.normalize("NFKC", text))


def foreign(url):
    return not url.startswith(("file:", "data:", "blob:", "about:"))


# The pages


def test_there_is_a_page_for_each_notebook_and_each_plan(folder):
    plans = plan.plans(ROOT / "docs" / "workshop.md")
    names = [path.stem for path in NOTEBOOKS]
    names += [f"workshop_{name.replace(' ', '_')}" for name in plans]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{n}.html" for n in names)
    assert len(plans) >= 2


@in_a_browser
@pytest.mark.parametrize(
    "name",
    [p.stem for p in NOTEBOOKS]
    + [f"workshop_{n}" for n in ("90", "180", "second_afternoon", "third_afternoon")],
)
def test_every_slide_fits_and_nothing_is_fetched(name, folder, show):
    tab = show(folder / f"{name}.html")
    tab.evaluate("Reveal.configure({margin: 0})")  # one pixel of a slide is one of the screen
    tab.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    faults = {}
    for place in range(tab.evaluate("Reveal.getTotalSlides()")):
        tab.evaluate(f"Reveal.slide({place}, 0, 99)")  # with all that shows later
        if found := tab.evaluate(FAULTS):
            faults[place + 1] = found
    assert faults == {}
    assert tab.wrong == []


@in_a_browser
def test_the_keyboard_leads_through_a_deck(folder, show):
    tab = show(folder / "05_fine_tuning.html")
    for _ in range(60):
        tab.keyboard.press("ArrowRight")
    assert tab.evaluate("Reveal.isLastSlide()")
    tab.keyboard.press("Home")
    assert tab.evaluate("Reveal.isFirstSlide()")


@in_a_browser
def test_the_speaker_sees_notes(folder, show):
    tab = show(folder / "05_fine_tuning.html")
    tab.evaluate("Reveal.slide(1)")
    with tab.context.expect_page() as speaker:
        tab.keyboard.press("s")
    notes = speaker.value.locator(".speaker-controls-notes")
    notes.get_by_text("this is fine-tuning").wait_for()
    assert "Now the body may move." in notes.inner_text()
    assert tab.wrong == []


@in_a_browser
@pytest.mark.parametrize("name", ["05_fine_tuning", "workshop_90"])
def test_it_prints_one_page_for_each_slide(name, folder, show):
    from pypdf import PdfReader

    tab = show(folder / f"{name}.html", "?print-pdf")
    tab.wait_for_selector(".pdf-page")
    pages = PdfReader(io.BytesIO(tab.pdf(prefer_css_page_size=True))).pages
    titles = tab.locator(".slides h2").all_text_contents()
    assert len(pages) == len(titles) == tab.evaluate("Reveal.getTotalSlides()")
    for printed, title in zip(pages, titles, strict=True):
        assert letters(title)[:20] in letters(printed.extract_text())


@in_a_browser
def test_the_notes_can_be_printed(folder, show):
    from pypdf import PdfReader

    query = "?print-pdf&showNotes=separate-page"
    tab = show(folder / "05_fine_tuning.html", query)
    tab.wait_for_selector(".pdf-page")
    text = " ".join(
        " ".join(p.extract_text().split())
        for p in PdfReader(io.BytesIO(tab.pdf(prefer_css_page_size=True))).pages
    )
    assert "Now the body may move." in text


@in_a_browser
def test_axe_finds_nothing_wrong_in_a_whole_deck(folder, show):
    from axe_playwright_python.sync_playwright import Axe

    tab = show(folder / "05_fine_tuning.html")
    tab.add_style_tag(content="* { transition: none !important; }")  # nothing is half visible
    found = []
    for place in range(tab.evaluate("Reveal.getTotalSlides()")):
        tab.evaluate(f"Reveal.slide({place}, 0, 99)")
        for violation in Axe().run(tab).response["violations"]:
            found += [(place + 1, violation["id"], n["html"][:100]) for n in violation["nodes"]]
    assert found == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pictures_keep_their_words_and_come_with_the_page(path, folder):
    text = (folder / f"{path.stem}.html").read_text(encoding="utf-8")
    body = text[text.index("<main>") : text.index("</main>")]
    pictures = re.findall(r"<img\b[^>]*>", body)
    assert pictures
    known = set()
    for cell in nbformat.read(path, as_version=4).cells:
        known.update(re.findall(r"!\[([^\]]*)\]", cell.source))
        shown = [o.data.get("text/html", "") for o in cell.get("outputs", []) if "data" in o]
        known.update(html.unescape(alt) for h in shown for alt in re.findall(r'alt="([^"]*)"', h))
    for picture in pictures:
        alt = html.unescape(re.search(r'alt="([^"]*)"', picture)[1])
        assert len(alt.split()) >= 6
        assert alt in known
        assert re.search(r'src="data:image/', picture)
    assert "Permission is hereby granted" in text  # reveal.js's terms
    assert '<html lang="en">' in text


# What is on the slides


def test_a_deck_is_short_begins_with_its_title_and_ends_with_key_points(decks):
    for number, slides in decks.items():
        assert 8 <= len(slides) <= 14, number
        assert [slide.first for slide in slides] == [True] + [False] * (len(slides) - 1)
        assert slides[1].title == "The idea in a picture"
        assert slides[-1].title == "Key points"


def test_each_question_stands_before_its_figure_and_its_answer_after_it(decks):
    for number, slides in decks.items():
        place = {
            kind: {name: i for i, slide in enumerate(slides) for name in slide.ids(kind)}
            for kind in ("question", "answer")
        }
        assert place["question"]
        assert place["question"].keys() == place["answer"].keys(), number
        figures = {slide.figure: i for i, slide in enumerate(slides) if slide.figure}
        for name, asked in place["question"].items():
            told = re.sub(r"s \d+ and", "", all_questions()[name].figure)
            assert asked < figures[told] <= place["answer"][name], name


def test_a_slide_with_a_question_shows_nothing_that_was_computed(decks):
    for slide in (s for slides in decks.values() for s in slides if s.ids("question")):
        assert {part.kind for part in slide.parts} == {"question"}
        for part in slide.parts:
            known = all_questions()[part.id]
            assert part.content == known.question
            assert not known.options or part.choices == known.options


def test_the_speaker_has_notes_for_every_slide(decks):
    for number, slides in decks.items():
        without = [slide.headline for slide in slides if not "".join(slide.notes).strip()]
        assert set(without) <= SELF_EXPLAINING, number
        for slide in slides:
            assert len(set(slide.notes)) == len(slide.notes), slide.headline
            for name in slide.ids("exercise"):
                assert all(hint in "".join(slide.notes) for hint in all_exercises()[name].hints)


def test_titles_are_whole(decks):
    for slide in (slide for slides in decks.values() for slide in slides):
        assert not re.search(r"[.:;,]{2}$", slide.headline), slide.headline
        assert slide.headline.count("(") == slide.headline.count(")"), slide.headline


def test_beside_a_table_no_log_is_shown(decks):
    for slide in (slide for slides in decks.values() for slide in slides if slide.figure):
        if any("<table" in part.content for part in slide.parts):
            assert not [p for p in slide.parts if p.kind == "stream" and not p.later]


def test_an_answer_that_speaks_of_counts_shows_them():
    counts = new_output("stream", text="right only at stage5: 23")
    said = new_output("display_data", {"text/html": "<p>The answer. Compare the counts.</p>"})
    cell = new_code_cell('tl.reveal("04.B", best)', outputs=[counts, said])
    cell.metadata["tags"] = ["answer"]
    text = new_markdown_cell("## One\n\nText.")
    (slide,) = slides_of(tiny((text, "slide"), (cell, "-")), "04")
    assert [(p.kind, p.later) for p in slide.parts[-2:]] == [("stream", True), ("answer", True)]
    assert slide.parts[-2].content.startswith("right only at")


def test_an_exercise_of_a_workshop_is_shown_whole_and_without_its_solution(decks):
    page_of_plans = ROOT / "docs" / "workshop.md"
    tasks = []
    for steps in plan.plans(page_of_plans).values():
        slides = plan.workshop(steps, decks, {})
        told = [part for slide in slides for part in slide.parts if part.kind == "task"]
        assert told
        tasks += told
        for part in told:
            assert not re.search(r"<details>|[Ss]olution|^#", part.content, re.MULTILINE)
            assert not re.search(r"^answer = ", part.content, re.MULTILINE)
    task = next(part for part in tasks if part.id == "06.1")
    assert task.content.startswith("Someone has probed seven layers.")
    assert "(best)" in task.content  # its table


def test_answers_show_one_press_later(decks):
    answers = [p for s in decks.values() for slide in s for p in slide.parts if p.kind == "answer"]
    assert answers
    assert all(part.later for part in answers)


def test_each_pattern_is_shown_by_hand(decks):
    for number, name in (
        ("02", "by-hand"),
        ("03", "by-hand"),
        ("04", "by-hand"),
        ("05", "file-loop"),
    ):
        (slide,) = [slide for slide in decks[number] if name in slide.cells]
        assert any(p.kind == "code" and "torch." in p.content for p in slide.parts)


def test_where_drawings_are_shown_their_licence_is(decks):
    for number in ("06", "09"):
        told = " ".join(p.content for slide in decks[number] for p in slide.parts)
        assert "OpenMoji" in told
        assert "CC BY-SA 4.0" in told


@pytest.mark.parametrize("name", ["90", "180", "second afternoon", "third afternoon"])
def test_a_workshop_shows_what_its_plan_names_and_nothing_else(name, decks):
    steps = plan.plans(ROOT / "docs" / "workshop.md")[name]
    questions = plan.exit_questions(ROOT / "docs" / "workshop.md")
    slides = plan.workshop(steps, decks, questions)
    named = {name for step in steps for name in re.findall(r"\b\d\d\.\w+\b", step.learners)}
    shown = [name for slide in slides for name in slide.ids("question", "exercise", "task")]
    assert sorted(shown) == sorted(named)
    order = [re.search(r"\d\d", s.over)[0] for s in slides if s.over.startswith("Notebook")]
    assert list(dict.fromkeys(order)) == list(
        dict.fromkeys(s.notebook for s in steps if s.notebook)
    )
    said = "\n".join(note for slide in slides for note in slide.notes)
    assert all(step.say in said for step in steps)
    assert len(questions) == 5
    assert all(question in slides[-2].parts[0].content for question in questions)
    assert all(answer in said for answer in questions.values())
    on_slides = "\n".join(part.content for slide in slides for part in slide.parts)
    assert not any(answer in on_slides for answer in questions.values())


# The rules


def test_a_long_title_loses_its_brackets_or_its_last_part_but_never_half_a_bracket():
    part = " and ".join(["accuracy by layer with all of the features"] * 4)
    title = texts.caption(f"**Figure 1.** Ants (small; red) and bees: {part}.").says
    assert title.startswith("Ants and bees: accuracy")
    title = texts.caption(f"**Figure 1.** Ants and bees with no training at all: {part}.").says
    assert title == "Ants and bees with no training at all."
    title = texts.caption(f"**Figure 1.** {part}.").says
    assert title == f"{part}."


def test_a_caption_that_speaks_of_guessing_is_not_taken_for_a_question():
    caption = "**Table 2.** Losses. A network that guesses is right for one digit in ten."
    before, asks = texts.split_question(f"{caption}\n\n**Guess first:** how many?")
    assert (before, asks) == (caption, "**Guess first:** how many?")


def test_a_sentence_ends_after_a_vote_and_not_after_an_initial():
    assert texts.sentences("Vote 04.A and 04.C. Run all. By E. Alpaydin.") == [
        "Vote 04.A and 04.C.",
        "Run all.",
        "By E. Alpaydin.",
    ]


def test_a_look_that_announces_two_things_names_both():
    text = "**Figure 1.** Six photographs of things. *Look for two things.* One. Two. Three."
    assert texts.caption(text).look == "*Look for two things.* One. Two."


def test_credits_lead_to_the_drawings_and_their_licence():
    assert credits.linked("Drawings: OpenMoji, CC BY-SA 4.0.") == (
        "Drawings: [OpenMoji](https://openmoji.org/), "
        "[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/)."
    )
    linked = "[OpenMoji](https://openmoji.org/). License: CC BY 4.0."
    assert credits.linked(linked) == linked
    assert credits.owners("By E. Alpaydin. License: CC BY 4.0. Digits by A. B.") == [
        "By E. Alpaydin. License: CC BY 4.0.",
        "Digits by A. B.",
    ]


def test_a_caption_gives_its_name_its_first_sentence_where_to_look_and_the_licence():
    text = (
        "**Figure 3.** Maps of six layers, from the input to the output (e.g. edges). Deep ones are"
        " coarse. *Go down the rows:* what is lost? And where? Some more. (Drawings: [OpenMoji]"
        "(https://openmoji.org/), CC BY-SA 4.0.)\n\n## 4. Next\n\nMore."
    )
    found = texts.caption(text)
    assert found.name == "Figure 3"
    assert found.says == "Maps of six layers, from the input to the output (e.g. edges)."
    assert found.look.endswith("*Go down the rows:* what is lost? And where?")
    assert found.credit == "Drawings: [OpenMoji](https://openmoji.org/), CC BY-SA 4.0."


def test_a_caption_that_does_not_say_where_to_look_gives_what_the_saved_run_showed():
    run = "*In the saved run:* 4 of 5\nare right."
    text = (
        f"**Figure 2.** Right answers of five pictures in each of six tries.\n\n{run}\n\nSo what."
    )
    assert texts.caption(text).look == "*In the saved run:* 4 of 5 are right."
    assert texts.caption(text.replace("tries.", "tries. *Look up.*")).look.endswith("*Look up.*")


def test_of_a_text_one_sentence_is_shown_and_lists_are_short():
    text = "## A\n\nFirst. This is **new**. Last.\n\nTwo things:\n\n- **One.** Short. Long.\n- Two. More."
    assert texts.essence(text) == ("This is **new**.\n\nTwo things:\n\n- **One.** Short.\n- Two.")


def tiny(*cells):
    for cell, kind in cells:
        cell.metadata = {**cell.metadata, "slideshow": {"slide_type": kind}}
    return new_notebook(cells=[cell for cell, _ in cells])


def test_cells_are_on_slides_as_their_slide_types_say():
    said = new_output("stream", text="42\n")
    notebook = tiny(
        (new_markdown_cell("## One\n\nText."), "slide"),
        (new_code_cell("answer()", outputs=[said]), "fragment"),
        (new_markdown_cell("Say this."), "notes"),
        (new_code_cell("secret()"), "skip"),
    )
    notebook.cells.append(new_code_cell("unmarked()"))
    (slide,) = slides_of(notebook, "05")
    assert slide.title == "One"
    assert [(p.kind, p.content, p.later) for p in slide.parts] == [
        ("text", "Text.", False),
        ("code", "answer()", True),
        ("stream", "42", True),
    ]
    assert slide.notes[-1] == "Say this."


def test_code_that_would_be_too_small_is_refused():
    long = new_code_cell("\n".join(["x = 1"] * 40), id="long-one")
    with pytest.raises(CourseError, match=r"long-one.*40 lines.*16 pixels"):
        page.render(slides_of(tiny((long, "slide")), "05"), "T", ROOT / "notebooks")


def test_a_plan_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "w.md").write_text("<!-- plan 90 -->\n| a |\n| - |\n| 0 | six | x |\n<!-- end -->")
    with pytest.raises(CourseError, match=r"plan 90 in w\.md"):
        plan.plans(tmp_path / "w.md")
    (tmp_path / "w.md").write_text("nothing")
    with pytest.raises(CourseError, match="holds no plan"):
        plan.plans(tmp_path / "w.md")


def test_the_command_names_what_is_there(tmp_path, monkeypatch, capsys):
    command = [sys.executable, "-m", "tools.slides", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--notebook", "03"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "03_standalone_extractor.html" in done.stdout
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["03_standalone_extractor.html"]
    monkeypatch.setattr(sys, "argv", [*command[2:], "--notebook", "33"])
    assert make.main() == 1
    assert capsys.readouterr().err.startswith("There is no notebook '33'")
