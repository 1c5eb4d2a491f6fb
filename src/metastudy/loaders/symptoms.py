"""Symptom2Disease: descriptions of symptoms in the first person, 24 diseases (a Kaggle upload of 2023).

They look made by a machine, so whatever is learned from them is marked synthetic. About one text in six paraphrases
another of its disease nearly word by word (cosine of TF-IDF above 0.8), which makes scores optimistic.
"""

from __future__ import annotations

from metastudy.loaders.files import Files
from metastudy.loaders.intents import LabelledTexts, check_labels, read_csv

PATH = "medical_text/Symptom2Disease.csv"
DISEASES = (
    "Acne", "Arthritis", "Bronchial Asthma", "Cervical spondylosis", "Chicken pox", "Common Cold", "Dengue",
    "Dimorphic Hemorrhoids", "Fungal infection", "Hypertension", "Impetigo", "Jaundice", "Malaria", "Migraine",
    "Pneumonia", "Psoriasis", "Typhoid", "Varicose Veins", "allergy", "diabetes", "drug reaction",
    "gastroesophageal reflux disease", "peptic ulcer disease", "urinary tract infection",
)  # fmt: skip


def load(files: Files) -> LabelledTexts:
    """Texts by disease; each disease is a domain of its own, since diseases are what is held out.

    The column `index` starts anew four times and names nothing: it is not used. Repairs as in `loaders.intents`.
    """
    rows = read_csv(files, PATH, ("label", "text")).assign(split="")
    check_labels(list(rows["label"]), DISEASES, "Symptom2Disease.csv", "metastudy.loaders.symptoms.DISEASES")
    counts = {"texts": len(rows), "classes": rows["label"].nunique(), "distinct": rows["text"].nunique()}
    return LabelledTexts.repair(rows, {d: d for d in DISEASES}, counts, synthetic=True)
