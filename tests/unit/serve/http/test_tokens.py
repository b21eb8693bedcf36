"""Files of tokens: who may ask, what is refused at the start, and a change while the server runs."""

import os
from pathlib import Path

import pytest

from streams.config.errors import SettingsError
from streams.serve.http import tokens as module
from streams.serve.http.tokens import Tokens

FIRST = '[shop]\ntoken = "0123456789abcdef"\nscopes = ["read"]\nrequests_per_s = 5\n'
SECOND = '[crm]\ntoken = "fedcba9876543210"\nscopes = ["read", "admin"]\n'


def test_a_header_names_its_caller_and_any_other_header_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(FIRST + SECOND)
    tokens = Tokens(path)
    shop, crm = (tokens.caller(f"Bearer {text}") for text in ("0123456789abcdef", "fedcba9876543210"))
    assert shop is not None
    assert (shop.name, shop.scopes, shop.requests_per_s) == ("shop", ("read",), 5)
    assert crm is not None
    assert (crm.name, crm.scopes, crm.requests_per_s) == ("crm", ("read", "admin"), None)
    for header in (None, "", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Basic 0123456789abcdef", "Bearer \xe9"):
        assert tokens.caller(header) is None


def test_a_changed_file_counts_and_a_broken_change_leaves_the_tokens_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CHECK_EVERY_S", 0)
    caplog.set_level("WARNING")
    path = tmp_path / "tokens.toml"
    path.write_text(FIRST)
    tokens = Tokens(path)
    path.write_text("[shop")
    os.utime(path, ns=(1, 1))
    assert tokens.caller("Bearer 0123456789abcdef") is not None
    assert tokens.failure is not None
    assert "the tokens of before stay valid" in caplog.text
    path.write_text(SECOND)
    os.utime(path, ns=(2, 2))
    assert tokens.caller("Bearer 0123456789abcdef") is None
    assert tokens.caller("Bearer fedcba9876543210") is not None
    assert tokens.failure is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no token"),
        ("[shop", "is not a file of tokens"),
        ('[shop]\ntoken = "short"\nscopes = ["read"]\n', "shop: token has a value of another form; "),
        ('[shop]\ntoken = "0123456789abcdef"\nscopes = ["write"]\n', "shop: 'write' is no scope; "),
        ('[shop]\ntoken = "0123456789abcdef"\n', "shop: scopes is missing; "),
        ('[shop]\ntoken = "0123456789abcdef"\nscopes = ["read"]\nrate = 3\n', "shop: 'rate' is no key of a token; "),
        ("shop = 3\n", "shop: this is no table; "),
        (FIRST.replace("= 5", "= 0"), "shop: requests_per_s has a value of another form; "),
        (FIRST + FIRST.replace("shop", "crm"), "the same token"),
        (FIRST.replace("abcdef", "abcdeé"), "outside ASCII"),
        (FIRST.replace('["read"]', "[]"), "scopes"),
        (FIRST.replace("0123456789abcdef", " " * 16), "without spaces"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_without_showing_a_token(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        Tokens(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)
    assert "0123456789abcdef" not in str(refused.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file"):
        Tokens(tmp_path / "none.toml")
