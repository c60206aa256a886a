"""Make `tlcourse/data/voices.safetensors` and `voices.json`: spoken numbers and prompts.

    python -m tools.voices FOLDER

FOLDER holds the files of these packages of Debian, unpacked (`dpkg-deb -x PACKAGE.deb FOLDER`), in
one tree or in a folder for each package:

    asterisk-core-sounds-{en,es,fr,it,ru}-gsm 1.6.1-1
    asterisk-prompt-fr-armelle 20070613-2.2
    asterisk-prompt-it-menardi-gsm 1:1.4.22+mm20110907-3.1

They are announcements for telephone exchanges in the format GSM 06.10: 8,000 samples a second,
33 bytes for each 20 ms, a fifth of the room that samples of 8 bit take. The files are taken as they
are, not cut and not computed again; libsndfile decodes them when they are opened. Taken are, of
each of seven voices, the numbers that all voices have under the same name, and the prompts that all
have and that take 1 to 5 s. What a file says is its name: "digits/7" is the word for seven in the
voice's language. Where a voice has a number in several genders, the file without a letter is taken.
`es-co` (another licence), beeps, silence, tones and spelling alphabets are left out.

Author, licence and page are those of each package's copyright file. The lines for NOTICE are
printed; a test compares them.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from tlcourse.base.files import whole_file
from tlcourse.tasks.load import load_task

TARGET = Path(__file__).parent.parent / "tlcourse" / "data"
NUMBERS = [*range(20), *range(20, 100, 10)]  # digits/0 to digits/90
SECONDS = (1, 5)  # shortest and longest prompt
BYTES_PER_SECOND = 33 * 50
_BY_SA = "CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/"
_BY = "CC BY 3.0, https://creativecommons.org/licenses/by/3.0/"
_ARMELLE = "Copyright (C) 2006 Michel Gutierrez, a BSD-like licence, see NOTICE"

# Voice -> folder of its files, language, and credit: author, licence, page.
VOICES = {
    "en Allison": (
        "en_US_f_Allison",
        "English",
        ("Allison Smith", _BY_SA, "http://www.theivrvoice.com"),
    ),
    "es Allison": (
        "es_MX_f_Allison",
        "Spanish",
        ("Allison Smith", _BY_SA, "http://www.theivrvoice.com"),
    ),
    "fr June": (
        "fr_CA_f_June",
        "French",
        ("June Wallack", _BY_SA, "http://www.junewallack.com"),
    ),
    "fr Armelle": (
        "sounds/fr",
        "French",
        ("Michel Gutierrez (voice: Armelle Desjardins)", _ARMELLE, "http://public.aclap.com"),
    ),
    "it Carlo": (
        "it_IT_m_Carlo",
        "Italian",
        ("Carlo Flora (http://www.carloflora.com)", _BY, "http://www.segreterietelefoniche.it"),
    ),
    "it Menardi": (
        "it_IT_f_Menardi",
        "Italian",
        (
            "Marco Menardi and his wife Paola Dal Zot (the voice)",
            "CC BY-SA 3.0 Italy, https://creativecommons.org/licenses/by-sa/3.0/it/",
            "http://www.voip.ammdomus.it",
        ),
    ),
    "ru Ivrvoice": (
        "ru_RU_f_IvrvoiceRU",
        "Russian",
        ("Maxim Topal", _BY, "http://www.ivrvoice.ru"),
    ),
}


def files_of(source: Path, inside: str) -> dict[str, Path]:
    """Name of each file of one voice, such as "digits/7" -> its path."""
    found = [f for f in source.rglob("*") if f.is_dir() and f.as_posix().endswith(f"/{inside}")]
    folders = [folder for folder in found if (folder / "vm-goodbye.gsm").is_file()]
    if len(folders) != 1:
        raise SystemExit(f"{source} holds {len(folders)} folders {inside!r} instead of one.")
    paths = sorted(folders[0].rglob("*.gsm"))
    return {p.relative_to(folders[0]).with_suffix("").as_posix(): p for p in paths}


def main(source: Path) -> None:
    """Choose the files, join them, write them and what is in them."""
    voices = {voice: files_of(source, inside) for voice, (inside, *_) in VOICES.items()}
    numbers = [f"digits/{number}" for number in NUMBERS]

    def fits(name: str) -> bool:
        lengths = [files[name].stat().st_size / BYTES_PER_SECOND for files in voices.values()]
        return SECONDS[0] <= min(lengths) and max(lengths) <= SECONDS[1]

    common = sorted(set.intersection(*map(set, voices.values())))
    left_out = ("digits", "letters", "phonetic", "silence")
    prompts = [name for name in common if name.partition("/")[0] not in left_out and fits(name)]
    contents = [files[name].read_bytes() for files in voices.values() for name in numbers + prompts]
    ends = np.cumsum([len(content) for content in contents])
    tensors = {
        "gsm": np.frombuffer(b"".join(contents), np.uint8),
        "ends": ends.astype(np.int32),  # where each sound ends: voice by voice, numbers first
    }
    about = {
        "note": "en Allison and es Allison are one speaker, as Debian's copyright file says.",
        "numbers": list(map(str, NUMBERS)),
        "prompts": prompts,
        "voices": {
            voice: {"language": language, "author": author, "licence": licence, "page": page}
            for voice, (_, language, (author, licence, page)) in VOICES.items()
        },
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    for name, content in (("voices.safetensors", save(tensors)), ("voices.json", text.encode())):
        with whole_file(TARGET / name) as part:
            part.write_bytes(content)
    for voice, credit in load_task("voices").credits.items():
        print(f"    {voice}  {credit}")
    seconds = ends[-1] / BYTES_PER_SECOND
    print(f"{len(contents)} sounds, {len(prompts)} prompts for each voice, {seconds:.0f} s")
    print(f"{(TARGET / 'voices.safetensors').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
