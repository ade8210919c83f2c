"""Small made-up files in the form of the published ones, for the datamodules of texts."""

import contextlib
import csv
import gzip
import hashlib
import io
import json
import random
import sqlite3

from datamodules.registry import find_datamodule
from datamodules.reuters import SGML_FILES

TEXTS = (
    "aeslc",
    "aeslc_subjects",
    "atis",
    "clinc150",
    "davidson2017",
    "fra_eng",
    "geoquery",
    "movie_reviews",
    "snips",
    "reuters_topics",
    "sst2",
    "text_table",
    "tinyshakespeare",
)
"""The datamodules of texts."""
NOUNS = ("film", "plot", "actor", "scene", "story", "camera", "music", "ending", "director", "script")
WORDS = {0: ("dull", "awful", "tedious", "clumsy", "empty"), 1: ("lovely", "moving", "bright", "clever", "warm")}
FRENCH = dict(
    zip(NOUNS, ("film", "récit", "acteur", "scène", "histoire", "caméra", "musique", "fin", "réalisateur", "scénario"))
)
SHA256 = {
    "train": "2eed74d0b131552ef303c4dfe01b54ddb811e95b401050182dd764400fa8f746",
    "dev": "4cc4eda4a08d4f93e4afed5500218629dd37dc4e814d0dd1a7969bb754593a66",
}
PUBLISHED = {"clinc150": "clinc150/data_full.json", "davidson2017": "davidson2017/labeled_data.csv"}
UTTERANCES = {
    "atis": (("flight", "airfare"), ("boston", "denver", "san francisco", "new york city", "dallas"), "city_name"),
    "snips": (
        ("PlayMusic", "AddToPlaylist"),
        ("blue train", "so what", "naima", "kind of blue", "milestones"),
        "album",
    ),
}
"""Intents, values of a slot and its name, of the made-up utterances of each datamodule."""
TOPICS = {"praise": WORDS[1], "blame": WORDS[0], "oil": ("crude", "barrel", "opec"), "rare": ("unique",)}
"""Topics of made-up documents and their words; ``rare`` has no test document."""
PLACES = ("here", "there", "at home", "in town", "by the sea", "at work", "far away", "next door")


def sentence(draw, label):
    first, second = ((draw.choice(NOUNS), draw.choice(WORDS[label])) for _ in range(2))
    return f"the {first[0]} is {first[1]} and the {second[0]} {second[1]} ."


def write_utterances(root, name, counts=(("train", 80), ("valid", 12), ("test", 12))):
    """Write utterances in the layout of ATIS and SNIPS; the first of the test split stand in the others too."""
    draw = random.Random(name)
    intents, values, slot = UTTERANCES[name]
    first = []
    for part, count in counts:
        rows = []
        for number in range(count):
            verb = ("show", "what is", "give me")[number % 3]
            words, tags, intent = [*verb.split(), intents[number % 2].lower()], [], intents[number % 2]
            tags = ["O"] * len(words)
            for joint, kind in (("from", f"fromloc.{slot}"), ("to", f"toloc.{slot}")):
                value = draw.choice(values).split()
                words += [joint, *value]
                tags += ["O", f"B-{kind}", *[f"I-{kind}"] * (len(value) - 1)]
            rows.append((" ".join([*words, "at", str(draw.randrange(1000))]), " ".join([*tags, "O", "B-time"]), intent))
        first = first or rows[:2]
        rows[:2] = first
        folder = root / name / part
        folder.mkdir(parents=True, exist_ok=True)
        for file, column in zip(("seq.in", "seq.out", "label"), zip(*rows)):
            (folder / file).write_text("".join(f"{line} \n" for line in column))


def reuters_document(split, topics, title, body):
    """Return a document in the form of the archive of Reuters-21578."""
    found = "".join(f"<D>{topic}</D>" for topic in topics)
    return (
        f'<REUTERS TOPICS="YES" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET">\n<TOPICS>{found}</TOPICS>\n<TEXT>&#2;\n'
        f"<TITLE>{title}</TITLE>\n<DATELINE>    PARIS, March 1 - </DATELINE><BODY>{body}\n Reuter\n&#3;</BODY></TEXT>\n"
        "</REUTERS>\n"
    )


def write_documents(root):
    """Write made-up documents of none, one or two topics in the layout of Reuters-21578."""
    draw = random.Random(0)
    (root / "reuters21578").mkdir()
    for number, part in enumerate(SGML_FILES):
        split, rows = ("TEST" if number >= 16 else "TRAIN"), []
        for k in range(16):
            topics = [["praise"], ["blame"], ["oil"], ["praise", "oil"], ["blame", "oil"], [], ["oil"], []][k % 8]
            topics = [*topics, "rare"] if (number, k) == (3, 2) else topics
            words = [draw.choice(TOPICS[topic]) for topic in topics for _ in range(4)]
            words += [draw.choice(NOUNS) for _ in range(6)]
            draw.shuffle(words)
            rows.append(reuters_document(split, topics, f"{draw.choice(NOUNS)} {number}.{k}", " ".join(words)))
        (root / "reuters21578" / part).write_text("".join(rows), encoding="latin-1")


STATES = {"texas": "austin", "new york": "albany", "ohio": "columbus", "iowa": "des moines", "utah": "salt lake city"}
STATE_QUERY = 'SELECT STATEalias0.{} FROM STATE AS STATEalias0 WHERE STATEalias0.STATE_NAME = "state_name0" ;'
FORMS = (
    ("train", ("what is the capital of {}", "which city is the capital of {}"), STATE_QUERY.format("CAPITAL")),
    ("train", ("how many people live in {}", "what is the population of {}"), STATE_QUERY.format("POPULATION")),
    ("dev", ("how large is {}", "what is the area of {}"), STATE_QUERY.format("AREA")),
    (
        "test",
        ("how many rivers run through {}", "how many rivers does {} have"),
        'SELECT COUNT( RIVERalias0.RIVER_NAME ) FROM RIVER AS RIVERalias0 WHERE RIVERalias0.TRAVERSE = "state_name0" ;',
    ),
)


def write_questions(folder):
    """Write questions and an SQLite database in the layout of GeoQuery."""
    folder.mkdir()
    entries = []
    for part, (first, second), query in FORMS:
        texts = [first, second, *(f"{please} {first}" for please in ("please tell me", "say", "i ask"))]
        sentences = [
            {
                "question-split": ("train", "test", "train", "dev", "train")[(k + number) % 5],
                "text": text.format("state_name0"),
                "variables": {"state_name0": state},
            }
            for k, text in enumerate(texts)
            for number, state in enumerate(STATES)
        ]
        entries.append({"query-split": part, "sentences": sentences, "sql": [query, "SELECT 1"]})
    (folder / "geography.json").write_text(json.dumps(entries))
    with contextlib.closing(sqlite3.connect(folder / "geography-db.added-in-2020.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE state (state_name text, capital text, population int, area double)")
        connection.execute("CREATE TABLE river (river_name text, length int, traverse text)")
        connection.execute("CREATE TABLE highlow (state_name text, lowest_point text, lowest_elevation text)")
        rows = [(state, capital, 100 * k, 7.5 * k) for k, (state, capital) in enumerate(STATES.items())]
        connection.executemany("INSERT INTO state VALUES (?, ?, ?, ?)", rows)
        rivers = [("ohio", 9, "ohio"), ("ohio", 9, "texas"), ("red", 5, "texas"), ("red", 5, "utah")]
        connection.executemany("INSERT INTO river VALUES (?, ?, ?)", rivers)
        connection.executemany(
            "INSERT INTO highlow VALUES (?, ?, ?)", [("ohio", "red river", "139"), ("iowa", "x", "0")]
        )


def write_mails(root):
    """Write e-mails with a subject, which names what they are about, in the layout of AESLC."""
    draw = random.Random(0)
    (root / "aeslc").mkdir()
    for part, n in {"train": 120, "dev": 40, "test": 40}.items():
        rows = []
        for k in range(n):
            noun, place, figure = draw.choice(NOUNS), draw.choice(PLACES), draw.randrange(3_000, 99_999)
            body = f"Dear {part} {k},\nthe {noun} of {figure} is {place}. Call me at 713-555-{k:04}.\nYours, Ann"
            rows.append({"id": f"{part}_{k}", "body": body, "subject": f"{noun.title()} {figure}"})
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "aeslc" / f"{part}.jsonl.gz").write_bytes(gzip.compress(content.encode(), mtime=0))


def write_texts(root):
    """Write the files of every datamodule of texts under a folder."""
    draw = random.Random(0)
    (root / "SST-2").mkdir()
    for name, n in {"train": 120, "dev": 30}.items():
        rows = []
        for k in range(n):
            whole = sentence(draw, k % 2)
            rows.append((whole, k % 2))
            if name == "train":
                words = whole.split()
                rows += [(" ".join(words[:4]), k % 2), (" ".join(words[5:9]), k % 2), (words[3], k % 2)]
                rows.append((f"{words[3]} {words[1]}", k % 2))
        content = "sentence\tlabel\n" + "".join(f"{text} \t{label}\n" for text, label in rows)
        (root / "SST-2" / f"{name}.tsv").write_text(content)
    (root / "rt-polaritydata").mkdir()
    for label, ending in enumerate(("neg", "pos")):
        lines = [sentence(draw, label) + f" {k}" for k in range(150)]
        (root / "rt-polaritydata" / f"rt-polarity.{ending}").write_text("\n".join(lines) + "\n")
    pairs = []
    for noun, french in FRENCH.items():
        for word in (*WORDS[0], *WORDS[1]):
            for place in PLACES:
                pairs.append((f"The {noun} is {word} {place}.", f"C'est {word} {place}, le {french} ."))
    pairs += [(f"The {NOUNS[0]} is dull here.", "Le film est nul ici."), ("Hello.", "Salut !"), ("HELLO", "Bonjour !")]
    (root / "fra-eng").mkdir()
    (root / "fra-eng" / "fra.txt").write_text("".join(f"{a}\t{b}\tCC-BY\n" for a, b in pairs))
    (root / "clinc150").mkdir()
    requests = {
        part: [[f"{sentence(draw, k % 2)[:-2]} {part} {k}", ("praise", "blame")[k % 2]] for k in range(n)]
        for part, n in {"train": 120, "val": 40, "test": 40}.items()
    }
    requests["train"].append([requests["test"][0][0].upper(), "praise"])
    outside = {f"oos_{part}": [[f"where is {place} {part}", "oos"] for place in PLACES] for part in requests}
    (root / "clinc150" / "data_full.json").write_text(json.dumps({**requests, **outside}))
    write_documents(root)
    (root / "davidson2017").mkdir()
    tweets = [
        f"@you{k} {sentence(draw, k % 2)} &amp;amp; {k // 2 if k % 10 else 7} http://t.co/{k}" for k in range(260)
    ]
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("", "class", "tweet"), *((k, k % 3, tweet) for k, tweet in enumerate(tweets))])
    (root / "davidson2017" / "labeled_data.csv").write_text(table.getvalue())
    rows = [(sentence(draw, k % 2), ("bad", "good")[k % 2]) for k in range(200)]
    (root / "table.tsv").write_text("text\tlabel\n" + "".join(f"{a}\t{b}\n" for a, b in rows))
    (root / "tinyshakespeare").mkdir()
    speeches = (f"{draw.choice(NOUNS).upper()}:\n{sentence(draw, k % 2).capitalize()}\n\n" for k in range(120))
    (root / "tinyshakespeare" / "input.txt").write_text("".join(speeches))
    for name in UTTERANCES:
        write_utterances(root, name)
    write_questions(root / "text2sql")
    write_mails(root)
    return root


def small_text(name, files, **args):
    """Build a datamodule of texts that takes the made-up files for the published ones."""
    if name in UTTERANCES:
        data = find_datamodule(name)(root=str(files), **{"batch_size": 16, **args})
        data.sha256_files = {
            file: hashlib.sha256((files / name / file).read_bytes()).hexdigest() for file in data.sha256_files
        }
        return data
    if name == "tinyshakespeare":
        data = find_datamodule(name)(root=str(files), **{"val_size": 800, "length": 20, "context": 12, **args})
        content = (files / name / "input.txt").read_bytes()
        data.sha256_file = hashlib.sha256(content).hexdigest()
        return data
    if name in ("aeslc", "aeslc_subjects"):
        sizes = {"length": 16, "context": 8} if name == "aeslc" else {"max_length": 60}
        data = find_datamodule(name)(root=str(files), **{"vocab_size": 400, **sizes, **args})
        data.sha256_files = {
            part: hashlib.sha256((files / "aeslc" / f"{part}.jsonl.gz").read_bytes()).hexdigest()
            for part in ("train", "dev", "test")
        }
        return data
    if name == "geoquery":
        data = find_datamodule(name)(root=str(files), **{"fewest": 1, **args})
        content, database = ((files / "text2sql" / path).read_bytes() for path in (data.file, data.database_file))
        data.sha256_file, data.sha256_database = (hashlib.sha256(each).hexdigest() for each in (content, database))
        return data
    sizes = {"sst2": {"val_size": 20}, "clinc150": {}}
    args = {**sizes.get(name, {"val_size": 40}), "vocab_size": 320, **args}
    data = find_datamodule(name)(root=str(files / "table.tsv" if name == "text_table" else files), **args)
    data.rows, data.test_sources, data.sha256_files = 150, 40, SHA256
    if name == "reuters_topics":
        parts = ((files / "reuters21578" / part).read_bytes() for part in SGML_FILES)
        data.sha256_parts = hashlib.sha256(b"".join(parts)).hexdigest()
    if name in PUBLISHED:
        data.sha256_content = hashlib.sha256((files / PUBLISHED[name]).read_bytes()).hexdigest()
    return data
