"""What the browser sends when a file is chosen."""


def upload(button, name, content, piece=2**20):
    """Hand a file to an upload button in pieces, as its JavaScript does."""
    answers = []
    button.send = answers.append  # instead of to a browser
    offset = 0
    while True:
        said = {"name": name, "size": len(content), "offset": offset}
        button._handle_custom_msg(said, [memoryview(content[offset : offset + piece])])
        if "next" not in answers[-1]:
            return answers
        offset = answers[-1]["next"]
