"""The upload button answers good pictures with a figure and bad ones with a sentence."""

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

UPLOAD = """
import io
import tlcourse as tl

widget = tl.widgets.own_picture(tl.load_backbone(device="cpu"))
png = io.BytesIO()
tl.photographs("coffee")["coffee"].save(png, "PNG")
good = {"name": "cup.png", "content": memoryview(png.getvalue()), "type": "", "size": 1,
        "last_modified": __import__("datetime").datetime.now()}
bad = good | {"name": "notes.txt", "content": memoryview(b"no picture at all")}
"""


def test_each_upload_is_answered_and_a_bad_file_is_not_swallowed():
    show = "print([o.get('data', o) for o in widget.answer.outputs])"
    sources = [UPLOAD, "widget.button.value = (good,)", show, "widget.button.value = (bad,)", show]
    notebook = new_notebook(cells=[new_code_cell(s) for s in sources])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    good, bad = (notebook.cells[i].outputs[0]["text"] for i in (2, 4))
    assert "<img" in good
    assert "espresso" in good
    assert "notes.txt" in bad
    assert "not a picture" in bad
    assert "<img" not in bad
    assert "Traceback" not in bad


def test_without_a_kernel_a_sentence_stands_in_for_the_button():
    import tlcourse as tl

    assert "run this notebook" in repr(tl.widgets.own_picture(tl.load_backbone(device="cpu")))
