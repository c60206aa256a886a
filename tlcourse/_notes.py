"""Short notes to the learner that are neither results nor errors."""


def say(text: str) -> None:
    """Print one sentence without disturbing a progress bar."""
    from tqdm import tqdm

    tqdm.write(text)
