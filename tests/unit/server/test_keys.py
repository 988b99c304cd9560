"""The files that keys live in."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from server.auth.keys import load_jwks, load_or_create_secret, load_secret
from server.settings import SettingsError

ED25519 = OKPKey.generate_key("Ed25519", {"kid": "ed"}).as_dict(private=False)


def write_jwks(path: Path, *keys: object) -> Path:
    path.write_text(json.dumps({"keys": keys}))
    return path


def rsa(bits: int) -> dict[str, str]:
    modulus = ((1 << bits) - 1).to_bytes(bits // 8, "big")
    return {"kty": "RSA", "n": base64.urlsafe_b64encode(modulus).rstrip(b"=").decode(), "e": "AQAB"}


def secrets_into(paths: list[Path], line: Any, found: Any) -> None:
    for path in paths:
        line.wait(60)
        found.put((path, load_or_create_secret(path)))


def test_a_missing_secret_is_made_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    secret = load_or_create_secret(path)
    assert len(secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert base64.b64decode(path.read_bytes()) == secret
    assert load_or_create_secret(path) == secret
    assert os.listdir(path.parent) == ["secret.key"]


def test_processes_that_start_at_once_get_one_secret(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    line, found = spawn.Barrier(4), spawn.Queue()
    # One race is often won by the same process all the way; of thirty, some are close.
    paths = [tmp_path / f"{number}.key" for number in range(30)]
    processes = [spawn.Process(target=secrets_into, args=(paths, line, found)) for _ in range(4)]
    for process in processes:
        process.start()
    secrets = {found.get(timeout=60) for _ in processes for _ in paths}
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
        process.close()
    found.close()
    found.join_thread()
    assert secrets == {(path, load_secret(path)) for path in paths}
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
def test_a_secret_that_others_can_read_or_change_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    load_or_create_secret(path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="open to other users"):
        load_secret(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds 0 bytes"),
        (base64.b64encode(b"x" * 31), "holds 31 bytes"),
        (b"hunter2!" * 8, "holds no base64"),
        (b"A" * 5000, "larger than"),
    ],
)
def test_a_secret_file_with_something_else_is_refused_without_showing_it(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_or_create_secret(path)
    assert caught.value.setting == "secret_file"
    assert "hunter2" not in str(caught.value)


def test_a_secret_that_can_not_be_made_or_read_is_an_error_of_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="secret_file"):
        load_or_create_secret(tmp_path / "file" / "secret.key")
    with pytest.raises(SettingsError, match="can't be read"):
        load_secret(tmp_path / "missing")
    with pytest.raises(SettingsError, match="can't be read"):
        load_or_create_secret(tmp_path)


def test_keys_for_other_purposes_are_passed_over(tmp_path: Path) -> None:
    ec = ECKey.generate_key("P-256").as_dict(private=False)
    x25519 = OKPKey.generate_key("X25519").as_dict(private=False)
    post_quantum = {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}
    path = write_jwks(
        tmp_path / "jwks",
        ec,
        x25519,
        post_quantum,
        {**ED25519, "kid": "2", "use": "enc"},
        {**ED25519, "kid": "3", "alg": "HS256"},
        {**ED25519, "kid": "4", "key_ops": ["sign"]},
        {**ED25519, "use": "sig", "alg": "EdDSA", "key_ops": ["verify"]},
    )
    assert [(key.kid, key.algorithms) for key in load_jwks(path)] == [("ed", frozenset({"EdDSA"}))]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([OctKey.generate_key(256).as_dict()], "private or shared"),
        ([OKPKey.generate_key("Ed25519").as_dict(private=True)], "private or shared"),
        ([{**ED25519, "d": None}], "private or shared"),
        ([ED25519, ED25519], "two keys alike"),
        ([], "holds no"),
        ([{**ED25519, "use": "enc"}], "holds no"),
        ([rsa(bits=1024)], "2048 to 8192 bits"),
        ([rsa(bits=16_384)], "2048 to 8192 bits"),
        ([{**ED25519, "x": "AAAA"}], "key 1: is no OKP key"),
        ([{**ED25519, "x": 3}], "key 1: is no OKP key"),
        ([{"kty": "OKP", "crv": "Ed25519"}], "key 1: is no OKP key"),
        ([ED25519, {"kty": "RSA", "n": "AQAB"}], "key 2: is no RSA key"),
        ([{"kty": "RSA", "n": "!", "e": "AQAB"}], "key 1: is no RSA key"),
        ([{**ED25519, "kid": 1}], "kid must be text"),
        ([{**ED25519, "kid": ""}], "kid must be text"),
        ([{**ED25519, "alg": ["EdDSA"]}], "alg must be text"),
        ([{**ED25519, "key_ops": 3}], "key_ops a list"),
        (["key"], "no list of keys"),
    ],
)
def test_a_key_set_that_can_not_be_trusted_is_refused(keys: list[object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_jwks(write_jwks(tmp_path / "jwks", *keys))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [], "keys": []}', b"\xff", b"{" * 9999]
)
def test_a_file_that_is_no_key_set_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "jwks"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="is no JSON Web Key Set"):
        load_jwks(path)


def test_a_missing_or_huge_key_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"jwks_file .* can't be read"):
        load_jwks(tmp_path / "missing")
    (tmp_path / "huge").write_bytes(b" " * (300 << 10))
    with pytest.raises(SettingsError, match="larger than"):
        load_jwks(tmp_path / "huge")
