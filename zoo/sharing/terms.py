"""Terms of the data behind trained weights, as in the file LICENSE, with metadata of the Hugging Face Hub."""

from __future__ import annotations

from typing import NamedTuple


class Terms(NamedTuple):
    """Terms of a data set.

    Args:
        title: Name of the data set.
        text: Its entry in the file LICENSE.
        license: Identifier of the Hub for the license of the weights: ``mit``, that of this package, where the data
            set no terms beside it, else ``other``.
        name: Name of the terms where the license is ``other``, in the form that the Hub demands.
        link: Address of the terms.
        dataset: Name of the data set on the Hub, if it is there.
        allowed: Whether weights that were trained on the data may be published.
    """

    title: str
    text: str
    license: str = "mit"
    name: str = ""
    link: str = ""
    dataset: str = ""
    allowed: bool = True


_FRA_ENG = "Sentence pairs of Tatoeba (tatoeba.org) as packed by ManyThings.org, CC BY 2.0 FR."
_CREATIVE_COMMONS = "https://creativecommons.org/licenses"
_REUTERS = Terms(
    "Reuters-21578",
    "Reuters-21578, Distribution 1.0 (Reuters Ltd. and Carnegie Group), free for research. Cite by that name.",
    "other",
    "reuters-21578-research",
    "https://www.daviddlewis.com/resources/testcollections/reuters21578/",
)
_AESLC = Terms(
    "AESLC",
    "No weights, only results: the Annotated Enron Subject Line Corpus (Zhang & Tetreault, 2019), CC BY-NC-SA 4.0, is "
    "of personal e-mails and not for commercial use.",
    "other",
    "cc-by-nc-sa-4.0-data",
    f"{_CREATIVE_COMMONS}/by-nc-sa/4.0/",
    allowed=False,
)
_FLICKR8K = Terms(
    "Flickr8k",
    "Photographs of Flickr, their authors', gathered as Flickr8k for research and teaching, not for commercial "
    "use. Cite: Hodosh, Young & Hockenmaier (2013), Framing image description as a ranking task.",
    "other",
    "flickr8k-research-and-teaching",
    "https://hockenmaier.cs.illinois.edu/8k-pictures.html",
)

TERMS = {
    "aeslc": _AESLC,
    "aeslc_subjects": _AESLC,
    "atis": Terms(
        "ATIS",
        "Air Travel Information System, of the Linguistic Data Consortium, as distributed with Goo et al. (2018), for "
        "research. Cite: Hemphill, Godfrey & Doddington (1990), The ATIS spoken language systems pilot corpus.",
        "other",
        "atis-research",
        "https://catalog.ldc.upenn.edu/LDC93S5",
    ),
    "boolean": Terms("Truth tables", "Truth tables."),
    "breast_cancer": Terms(
        "Breast Cancer Wisconsin (Diagnostic)",
        "Breast Cancer Wisconsin (Diagnostic) (Wolberg, Mangasarian, Street & Street, 1995), UCI Machine Learning "
        "Repository, CC BY 4.0.",
        "other",
        "cc-by-4.0-data",
        f"{_CREATIVE_COMMONS}/by/4.0/",
    ),
    "cifar10_jpeg": Terms(
        "CIFAR-10 (JPEG re-encoded)",
        "CIFAR-10, JPEG re-encoded. Cite: Krizhevsky (2009), Learning multiple layers of features from tiny images.",
        "other",
        "cifar-10",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "uoft-cs/cifar10",
    ),
    "clinc150": Terms(
        "CLINC150",
        "CLINC150, CC BY 3.0. Cite: Larson et al. (2019), An evaluation dataset for intent classification and "
        "out-of-scope prediction.",
        "other",
        "cc-by-3.0-data",
        f"{_CREATIVE_COMMONS}/by/3.0/",
        "clinc/clinc_oos",
    ),
    "davidson2017": Terms(
        "Hate speech and offensive language",
        "Tweets labelled by Davidson, Warmsley, Macy & Weber (2017), MIT License; offensive language.",
        dataset="tdavidson/hate_speech_offensive",
    ),
    "digits": Terms(
        "Optical Recognition of Handwritten Digits",
        "Optical Recognition of Handwritten Digits (Alpaydin & Kaynak, 1998), UCI Machine Learning Repository, CC BY "
        "4.0.",
        "other",
        "cc-by-4.0-data",
        f"{_CREATIVE_COMMONS}/by/4.0/",
    ),
    "fashion_mnist": Terms(
        "Fashion-MNIST",
        "Fashion-MNIST (Zalando SE), MIT License. Cite: Xiao, Rasul & Vollgraf (2017), Fashion-MNIST.",
        dataset="zalando-datasets/fashion_mnist",
    ),
    "flickr8k": _FLICKR8K,
    "flickr8k_captions": _FLICKR8K,
    "fra_eng": Terms(
        "Tatoeba, English and French", _FRA_ENG, "other", "cc-by-2.0-fr-data", f"{_CREATIVE_COMMONS}/by/2.0/fr/"
    ),
    "geoquery": Terms(
        "GeoQuery",
        "GeoQuery (Zelle & Mooney, 1996), its queries and database as distributed with Finegan-Dollak et al. (2018), "
        "Improving text-to-SQL evaluation methodology, with the permission of the authors.",
        "other",
        "geoquery",
        "https://github.com/jkkummerfeld/text2sql-data",
    ),
    "mitbih": Terms(
        "MIT-BIH Arrhythmia Database",
        "MIT-BIH Arrhythmia Database, Open Data Commons Attribution License v1.0. Cite: Moody & Mark (2001), The "
        "impact of the MIT-BIH Arrhythmia Database; Goldberger et al. (2000), PhysioBank, PhysioToolkit and PhysioNet.",
        "other",
        "odc-by-1.0-data",
        "https://opendatacommons.org/licenses/by/1-0/",
    ),
    "mnist": Terms(
        "MNIST",
        "MNIST (LeCun, Cortes & Burges), commonly listed under CC BY-SA 3.0. Cite: LeCun, Bottou, Bengio & Haffner "
        "(1998), Gradient-based learning applied to document recognition.",
        "other",
        "cc-by-sa-3.0-data",
        f"{_CREATIVE_COMMONS}/by-sa/3.0/",
        "ylecun/mnist",
    ),
    "playground": Terms("TensorFlow Playground", "Synthetic points, drawn as by the TensorFlow Playground."),
    "reuters": _REUTERS,
    "reuters_topics": _REUTERS,
    "snips": Terms("SNIPS", "SNIPS, CC0. Cite: Coucke et al. (2018), Snips voice platform."),
    "sst2": Terms(
        "Stanford Sentiment Treebank",
        "Stanford Sentiment Treebank, for research. Cite: Socher et al. (2013), Recursive deep models for semantic "
        "compositionality over a sentiment treebank; Wang et al. (2018), GLUE.",
        "other",
        "sst-research",
        "https://nlp.stanford.edu/sentiment/",
        "stanfordnlp/sst2",
    ),
    "tinyshakespeare": Terms(
        "Tiny Shakespeare", "Plays of Shakespeare, public domain, as gathered by Karpathy (2015)."
    ),
}
"""Terms by name of the datamodule; those of other data, such as a user's own, are not known."""


def terms_of(data: str | None) -> Terms | None:
    """Return the terms of the data of a datamodule, or None where they are not known."""
    return TERMS.get(data or "")


def check_allowed(owner: str, data: str | None) -> None:
    """Raise ``ValueError`` if the terms of the data forbid to publish weights that were trained on them.

    Args:
        owner: What the weights are called in the message.
        data: Name of the datamodule.
    """
    terms = terms_of(data)
    if terms and not terms.allowed:
        raise ValueError(
            f"{owner} is not published: its weights were trained on {terms.title}, whose terms do not allow it "
            "(personal e-mails, not for commercial use); zoo.save_pretrained stores them on this machine"
        )
