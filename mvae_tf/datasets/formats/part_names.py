"""Which subfolders are the parts of a data set, by their names."""

import re
from collections.abc import Collection
from pathlib import Path

from mvae_tf.files import shown

# What folders of one part are called, in any case.
_PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("validation", "val", "valid", "dev"),
}
_ROLES = {name: role for role, names in _PARTS.items() for name in names}
# A folder whose name has one of these words is a part that is named otherwise, or a class.
_PART_WORDS = {*_ROLES, "trainset", "testset", "valset", "holdout", "trn", "tst"}
_WORDS = re.compile("[A-Z]?[a-z]+|[A-Z]+")


def roles(path: Path, subfolders: list[Path], files: list[str]) -> dict[str, Path]:
    """Return the folders that are parts, by what they are for; refuse what is not clear."""
    parts = [(_ROLES.get(folder.name.lower()), folder) for folder in subfolders]
    roles = {role: folder for role, folder in parts if role}
    if roles:
        named = [folder for role, folder in parts if role]
        beside = [each.name for each in subfolders if each not in named] + files
        if beside or len(named) > len(roles) or "train" not in roles:
            classes = (
                " If they are classes, put all classes into a folder named train."
                if "train" not in roles
                else ""
            )
            raise ValueError(
                f"Expected {shown(path)} to hold the folders train and test, or only train. "
                f"Received: {listed(sorted([*(each.name for each in named), *beside]))}.{classes}"
            )
        return roles
    names = [folder.name for folder in subfolders]
    paired = _paired(name.lower() for name in names)
    alike = [
        name
        for name in names
        if name.lower() in paired
        or _PART_WORDS.intersection(word.lower() for word in _WORDS.findall(name))
    ]
    if alike:
        raise ValueError(
            f"Expected the parts of {shown(path)} to be named train, test or validation. Received: "
            f"{listed(alike)}. Rename them; if they are classes, put all classes into a folder "
            "named train."
        )
    return {}


def _paired(names):
    """Return those names that differ in the part alone, such as xtrain and xtest."""
    names = set(names)
    pairs = (
        {name, name.replace(part, other)}
        for name in names
        for part in _PARTS["train"]
        if part in name
        for other in _ROLES
        if _ROLES[other] != "train"
    )
    return {name for pair in pairs if pair <= names for name in pair}


def listed(names: Collection[str]) -> str:
    """Return names as text."""
    return ", ".join(map(shown, names)) if names else "no classes"
