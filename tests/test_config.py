from pathlib import Path

import pytest

from asr.cell import recipe_names, recipe_settings
from asr.config import Settings, load_yaml, merge, override, parse
from asr.errors import ConfigError


class Inner(Settings):
    dropout: float = 0.1


class Outer(Settings):
    seed: int = 0
    inner: Inner = Inner()


def test_extends_is_merged_below_and_lists_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("a: {x: 1, y: [1, 2]}\nb: 2\n")
    (tmp_path / "top.yaml").write_text("extends: base.yaml\na: {y: [3]}\n")
    assert load_yaml(tmp_path / "top.yaml") == {"a": {"x": 1, "y": [3]}, "b": 2}


@pytest.mark.parametrize("parents", ["5", "[null]", "{a: b}"])
def test_what_is_extended_is_a_file(tmp_path: Path, parents: str) -> None:
    (tmp_path / "top.yaml").write_text(f"extends: {parents}\n")
    with pytest.raises(ConfigError, match="extends names no file"):
        load_yaml(tmp_path / "top.yaml")
    (tmp_path / "top.yaml").write_text("extends:\na: 1\n")
    assert load_yaml(tmp_path / "top.yaml") == {"a": 1}


def test_extends_cycle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match="extends itself"):
        load_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("a: 1\nb: 2\na: 3", "some.yaml:3: .*'a' stands here twice"),
        ("- 1\n- 2\n", "not a mapping"),
        (None, "cannot be read"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "some.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)


def test_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'inner.dropuot'.*did you mean 'inner.dropout'"):
        parse(Outer, {"inner": {"dropuot": 0.2}})
    with pytest.raises(ConfigError, match=r"unknown key 'dropout'; did you mean 'inner.dropout'"):
        parse(Outer, {"dropout": 0.2})


def test_wrong_type_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"inner\.dropout"):
        parse(Outer, {"inner": {"dropout": "much"}})


def test_values_are_refused_in_plain_words(tmp_path: Path) -> None:
    for assignment, says in (
        ("model.dropout=high", "model.dropout: must be a number, not 'high'"),
        ("lm.order=two", "lm.order: must be a whole number, not 'two'"),
        ("lm.order=-1", "lm.order: must be greater than or equal to 0, not -1"),
    ):
        with pytest.raises(ConfigError, match=says):
            recipe_settings("raw_ctc", [assignment])
    (tmp_path / "mine.yaml").write_text("recipe: mine\nmodel: {width: 3}\n")
    with pytest.raises(ConfigError, match="model: of no type; begin with a recipe's"):
        recipe_settings(str(tmp_path / "mine.yaml"))


def test_overrides_are_yaml_and_leave_the_rest() -> None:
    value = {"a": {"x": 1, "y": 2}, "b": 3}
    assert override(value, ["a.x=[1, 2]", "c.d=null"]) == {
        "a": {"x": [1, 2], "y": 2},
        "b": 3,
        "c": {"d": None},
    }
    assert value == {"a": {"x": 1, "y": 2}, "b": 3}
    with pytest.raises(ConfigError, match="--set"):
        override(value, ["a.x"])


def test_merge_does_not_change_its_arguments() -> None:
    below, above = {"a": {"x": 1}}, {"a": {"y": 2}}
    assert merge(below, above) == {"a": {"x": 1, "y": 2}}
    assert (below, above) == ({"a": {"x": 1}}, {"a": {"y": 2}})


def test_every_recipe_is_complete_and_has_its_three_files() -> None:
    assert recipe_names() == ["mfcc_hmm", "mfcc_hybrid", "phoneme_ctc", "raw_ctc"]
    for name in recipe_names():
        assert recipe_settings(name).recipe == name
        folder = Path(__file__).parents[1] / "recipes" / name
        assert {p.name for p in folder.iterdir()} == {"README.md", "RESULTS.md", "recipe.yaml"}


def test_the_two_networks_differ_in_their_targets_alone() -> None:
    phonemes = recipe_settings("phoneme_ctc").model_dump()
    characters = recipe_settings("raw_ctc").model_dump()
    assert phonemes["model"].pop("targets") == "phonemes"
    assert characters["model"].pop("targets") == "characters"
    phonemes.pop("recipe"), characters.pop("recipe")
    assert phonemes == characters


def test_unknown_recipe_names_the_known_ones() -> None:
    known = "the recipes are mfcc_hmm, mfcc_hybrid, phoneme_ctc, raw_ctc"
    with pytest.raises(ConfigError, match=f"no recipe 'kaldi'; {known}"):
        recipe_settings("kaldi")
    with pytest.raises(ConfigError, match=r"no recipe 'mfcc'; did you mean 'mfcc_hmm'\?"):
        recipe_settings("mfcc")


def test_unknown_key_of_a_recipe_names_key_and_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: recipes/raw_ctc/recipe.yaml\nmodel: {droput: 0.3}\n")
    with pytest.raises(
        ConfigError, match=r"mine.yaml: unknown key 'model.droput'; did you mean 'model.dropout'"
    ):
        recipe_settings(str(tmp_path / "mine.yaml"), ["seed=3"])


@pytest.mark.parametrize(("recipe", "meant"), [("raw_ctc", "dropout"), ("mfcc_hmm", "network.dropout")])
def test_unknown_key_of_an_override_is_compared_with_those_of_the_recipe(recipe: str, meant: str) -> None:
    wrong = "model.droput" if recipe == "raw_ctc" else "model.dropout"  # which is another recipe's
    with pytest.raises(
        ConfigError,
        match=rf"^{recipe} with {wrong}=0.3: unknown key '{wrong}'; did you mean 'model.{meant}'",
    ):
        recipe_settings(recipe, [f"{wrong}=0.3"])


@pytest.mark.parametrize(
    ("recipe", "assignment", "said"),
    [
        ("raw_ctc", "model.kernel=6", "kernel: even"),
        ("raw_ctc", "model.width=17", "multiple of 2"),
        ("raw_ctc", "model.effort=.inf", "finite"),
        ("mfcc_hmm", "search.word_penalty=.nan", "finite"),
        ("raw_ctc", "model.train_last=2", "train_last: needs init_from"),
        ("raw_ctc", "model.noise_from=noises", "set noise_share"),
        ("mfcc_hmm", "model.features.cepstra=30", "30 of 26 mel_bins"),
        ("mfcc_hmm", "model.adaptation_frames=0", "greater than or equal to 1"),
        ("raw_ctc", "tune_utterances=-5", "greater than or equal to 1"),
        ("raw_ctc", "lm.order=-1", "greater than or equal to 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(recipe: str, assignment: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe_settings(recipe, [assignment])
