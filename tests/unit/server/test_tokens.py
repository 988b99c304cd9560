"""Which tokens hold, and that no other does."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey, RSAKey

from crdt_sync.errors import AccessError, Forbidden, InvalidName, Unauthenticated
from server.auth.grants import CredentialRefused, DocumentPattern, Grant, Refusal, Role
from server.auth.keys import KeyRing, load_jwks, load_or_create_secret, load_secret, own_key, secret_key
from server.auth.tokens import TOKEN_BYTES_MAX, TokenIssuer, TokenVerifier, issue_token
from tests.unit.server.tokens import CLAIMS, NOW_S, SECRET, hs256, segment, signed, with_claims

VERIFIER = TokenVerifier(KeyRing([secret_key(SECRET)]))
ED25519 = OKPKey.generate_key("Ed25519", {"kid": "ed"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})


def reason_for(token: str, verifier: TokenVerifier = VERIFIER, *, now_s: float = NOW_S) -> str:
    with pytest.raises(Unauthenticated) as caught:
        verifier.verify(token, now_s=now_s)
    assert isinstance(caught.value, CredentialRefused)
    shown = f"{caught.value} {caught.value.__cause__}"
    assert not any(len(part) > 8 and part in shown for part in token.split("."))
    return caught.value.reason


def jwks_verifier(path: Path, *entries: Any, shared: bool = True) -> TokenVerifier:
    path.write_text(json.dumps({"keys": entries}))
    return TokenVerifier(KeyRing([*load_jwks(path), *([secret_key(SECRET)] if shared else [])]))


def by(key: OKPKey | RSAKey, header: dict[str, Any]) -> str:
    """A token signed as its header says, by cryptography itself."""
    message = f"{segment(header)}.{segment(CLAIMS)}"
    private = key.private_key
    if isinstance(private, RSAPrivateKey):
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if header["alg"] == "PS256" else padding.PKCS1v15()
        digest = hashes.SHA512() if header["alg"] == "RS512" else hashes.SHA256()
        return f"{message}.{segment(private.sign(message.encode(), scheme, digest))}"
    assert isinstance(private, Ed25519PrivateKey)
    return f"{message}.{segment(private.sign(message.encode()))}"


def public(key: OKPKey | RSAKey, **members: object) -> dict[str, Any]:
    return {**key.as_dict(private=False), **members}


def test_a_good_token_becomes_its_grant() -> None:
    assert VERIFIER.verify(with_claims(), now_s=NOW_S) == Grant(
        "till-1", "acme", (DocumentPattern("inventory/*"),), Role.OPERATOR, int(NOW_S) + 600, "token-1", int(NOW_S) - 10
    )


def test_without_docs_a_token_opens_every_document_of_its_tenant_and_with_none_nothing() -> None:
    assert VERIFIER.verify(with_claims(docs=None), now_s=NOW_S).may_read("anything")
    assert not VERIFIER.verify(with_claims(docs=[]), now_s=NOW_S).may_read("anything")


@pytest.mark.parametrize("role", Role)
def test_what_the_issuer_signs_the_verifier_takes(role: Role) -> None:
    token = TokenIssuer(secret_key(SECRET)).issue(
        tenant="acme", role=role, documents=["a", "b/*"], subject="x", ttl_s=60, now_s=NOW_S + 0.9
    )
    grant = VERIFIER.verify(token, now_s=NOW_S + 1)
    assert (grant.tenant, grant.role, grant.subject) == ("acme", role, "x")
    assert [str(pattern) for pattern in grant.documents] == ["a", "b/*"]
    assert grant.expires_at_s == int(NOW_S) + 60


def test_two_issued_tokens_have_two_ids() -> None:
    issuer = TokenIssuer(secret_key(SECRET))
    ids = {
        VERIFIER.verify(
            issuer.issue(tenant="acme", role="viewer", subject="x", ttl_s=60, now_s=NOW_S), now_s=NOW_S
        ).token_id
        for _ in range(2)
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"role": "root"}, ValueError),
        ({"ttl_s": 0}, ValueError),
        ({"ttl_s": 86_401}, ValueError),
        ({"documents": []}, ValueError),
        ({"documents": ["a"] * 101}, ValueError),
        ({"documents": [f"{number}" + "a" * 120 for number in range(100)]}, ValueError),
        ({"documents": ["a*"]}, InvalidName),
        ({"tenant": "A"}, InvalidName),
        ({"subject": ""}, ValueError),
        ({"subject": "a\nb"}, ValueError),
    ],
)
def test_the_issuer_signs_nothing_that_no_verifier_would_take(change: dict[str, Any], error: type[Exception]) -> None:
    wanted = {"tenant": "acme", "role": "viewer", "subject": "x", "ttl_s": 60, "now_s": NOW_S}
    with pytest.raises(error):
        TokenIssuer(secret_key(SECRET)).issue(**{**wanted, **change})


def test_only_the_relays_own_key_signs_for_the_relay(tmp_path: Path) -> None:
    own = own_key(bytes(32))
    (tmp_path / "jwks").write_text(json.dumps({"keys": [public(ED25519, kid="relay")]}))
    verifier = TokenVerifier(KeyRing([secret_key(SECRET), own, *load_jwks(tmp_path / "jwks")]))
    asked: dict[str, Any] = {"tenant": "acme", "role": "admin", "subject": "relay", "ttl_s": 60, "now_s": NOW_S}
    assert verifier.verify(TokenIssuer(own).issue(**asked), now_s=NOW_S).subject == "relay"
    with pytest.raises(ValueError, match="the subject 'relay' is the relay's own"):
        TokenIssuer(secret_key(SECRET)).issue(**asked)
    assert reason_for(with_claims(sub="relay"), verifier) == "claims"
    assert reason_for(signed(CLAIMS, header={"alg": "HS256", "kid": "relay"}), verifier) == "untrusted"
    edwards = {"alg": "EdDSA", "kid": "relay"}
    assert verifier.verify(by(ED25519, edwards), now_s=NOW_S).subject == "till-1"


def test_the_relays_own_key_makes_no_token_without_a_key_name_ambiguous_and_verifies_none() -> None:
    verifier = TokenVerifier(KeyRing([own_key(bytes(32)), secret_key(SECRET)]))
    assert verifier.verify(with_claims(), now_s=NOW_S).subject == "till-1"
    assert reason_for(signed(CLAIMS, secret=bytes(32)), verifier) == "untrusted"
    assert reason_for(signed(CLAIMS, secret=bytes(32)), TokenVerifier(KeyRing([own_key(bytes(32))]))) == "untrusted"


def test_a_short_secret_neither_signs_nor_verifies() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        TokenIssuer(secret_key(b"x" * 31))
    with pytest.raises(ValueError, match="at least 32 bytes"):
        secret_key(b"x" * 31)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed(CLAIMS, secret=b"x" * 32), "untrusted"),
        (with_claims()[:-2] + "AA", "untrusted"),
        (f"{segment({'alg': 'none'})}.{segment(CLAIMS)}.", "malformed"),
        (f"{segment({'alg': 'none'})}.{segment(CLAIMS)}.AAAA", "untrusted"),
        (signed(CLAIMS, header={"alg": "None"}), "untrusted"),
        (signed(CLAIMS, header={"alg": "hs256"}), "untrusted"),
        (signed(CLAIMS, header={"alg": "HS512"}), "untrusted"),
        (signed(CLAIMS, header={"alg": "RS256"}), "untrusted"),
        (signed(CLAIMS, header={"alg": "EdDSA"}), "untrusted"),
        (signed(CLAIMS, header={"alg": ["HS256"]}), "malformed"),
        (signed(CLAIMS, header={"typ": "JWT"}), "malformed"),
        (signed(CLAIMS, header={"alg": "HS256", "typ": "at+jwt"}), "malformed"),
        (signed(CLAIMS, header={"alg": "HS256", "typ": {}}), "malformed"),
        (signed(CLAIMS, header=b'{"alg":"none","alg":"HS256"}'), "malformed"),
        (signed(CLAIMS, header=b"[]"), "malformed"),
        (signed(CLAIMS, header=b"\xff"), "malformed"),
        (signed(CLAIMS, header=b"[" * 5000), "malformed"),
        (signed(b"[" * 5000), "malformed"),
        (signed(b'{"exp":' + b"1" * 5000 + b"}"), "malformed"),
        (signed(b"[]"), "malformed"),
        (signed(b"no json"), "malformed"),
        (signed(json.dumps(CLAIMS)[:-1].encode() + b', "role": "admin"}'), "malformed"),
        (signed(json.dumps(CLAIMS)[:-1].encode() + b', "x": {"y": 1, "y": 2}}'), "malformed"),
        (signed(json.dumps(CLAIMS)[:-1].encode() + b', "x": NaN}'), "malformed"),
        (with_claims(padding="x" * 9000), "malformed"),
        (with_claims() + ".", "malformed"),
        (with_claims() + "=", "malformed"),
        (with_claims().replace(".", ".."), "malformed"),
        (" " + with_claims(), "malformed"),
        (with_claims() + "\n", "malformed"),
        ("", "malformed"),
        ("é.é.é", "malformed"),
        ("\ud800.a.a", "malformed"),
    ],
)
def test_a_forged_or_malformed_token_is_refused(token: str, reason: str) -> None:
    assert reason_for(token) == reason


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "cty", "zip", "nonsense"])
def test_a_token_that_brings_its_own_key_or_an_extension_is_refused(member: str) -> None:
    values = {"jwk": {"kty": "oct", "k": segment(SECRET)}, "crit": ["b64"], "b64": False}
    header = {"alg": "HS256", member: values.get(member, "https://evil.example/keys")}
    assert reason_for(signed(CLAIMS, header=header)) == "malformed"


@pytest.mark.parametrize("kid", ["other", "", "../../dev/null", "secret ", "' OR 1=1 --", "/dev/null", "SECRET"])
def test_a_kid_is_a_name_in_our_table_and_nothing_else(kid: str) -> None:
    assert reason_for(signed(CLAIMS, header={"alg": "HS256", "kid": kid})) == "untrusted"
    assert VERIFIER.verify(signed(CLAIMS, header={"alg": "HS256", "kid": "secret"}), now_s=NOW_S).subject == "till-1"


@pytest.mark.parametrize("kid", [1, None, ["secret"], {"a": 1}, True])
def test_a_kid_that_is_no_text_is_refused(kid: object) -> None:
    token = signed(CLAIMS, header={"alg": "HS256", "kid": kid})
    assert reason_for(token) == "malformed"


def test_another_spelling_of_a_good_signature_is_refused() -> None:
    message, _, signature = with_claims().rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [signature[:-1] + char for char in alphabet if char != signature[-1]]
    same = [twin for twin in twins if base64.urlsafe_b64decode(twin + "=") == base64.urlsafe_b64decode(signature + "=")]
    assert len(same) == 3
    for twin in same:
        assert reason_for(f"{message}.{twin}") == "malformed"


@pytest.mark.parametrize(
    "changes",
    [{name: None} for name in ("iss", "aud", "sub", "jti", "iat", "exp", "tenant", "role")]
    + [
        {"iss": "evil"},
        {"iss": ["crdt-sync"]},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": {"crdt-sync": 1}},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 257},
        {"sub": "a\nb"},
        {"jti": ["x"]},
        {"iat": "1800000000"},
        {"iat": True},
        {"iat": float(CLAIMS["iat"])},
        {"exp": 1e30},
        {"exp": str(CLAIMS["exp"])},
        {"exp": 1 << 60},
        {"exp": CLAIMS["iat"]},
        {"exp": CLAIMS["iat"] + 86_401},
        {"iat": -1},
        {"iat": int(NOW_S) + 6, "exp": int(NOW_S) + 60},
        {"nbf": int(NOW_S) + 6},
        {"nbf": "soon"},
        {"nbf": True},
        {"tenant": "ACME"},
        {"tenant": "acme/../beta"},
        {"tenant": "*"},
        {"tenant": ["acme"]},
        {"role": "root"},
        {"role": "Admin"},
        {"role": ["admin"]},
        {"docs": "*"},
        {"docs": [1]},
        {"docs": ["*/a"]},
        {"docs": ["a"] * 101},
        {"docs": {"*": 1}},
    ],
)
def test_a_claim_that_is_missing_or_of_another_kind_is_refused(changes: dict[str, object]) -> None:
    assert reason_for(with_claims(**changes)) == "claims"


def test_an_issuer_clock_may_be_a_little_ahead_and_the_audience_one_of_several() -> None:
    ahead = with_claims(iat=int(NOW_S) + 4, nbf=int(NOW_S) + 4, aud=["other", "crdt-sync"])
    assert VERIFIER.verify(ahead, now_s=NOW_S).subject == "till-1"


def test_a_token_ends_at_exp() -> None:
    assert VERIFIER.verify(with_claims(), now_s=CLAIMS["exp"] - 0.1).subject == "till-1"
    assert reason_for(with_claims(), now_s=CLAIMS["exp"]) == "expired"


def test_a_tenant_that_is_not_served_is_forbidden() -> None:
    verifier = TokenVerifier(KeyRing([secret_key(SECRET)]), tenants=["beta"])
    with pytest.raises(Forbidden):
        verifier.verify(with_claims(), now_s=NOW_S)
    assert verifier.verify(with_claims(tenant="beta"), now_s=NOW_S).tenant == "beta"


@given(st.text(max_size=60) | st.binary(max_size=40).map(signed))
def test_any_text_raises_only_access_errors(text: str) -> None:
    with pytest.raises(AccessError):
        VERIFIER.verify(text, now_s=NOW_S)


@given(st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    token = with_claims()
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.characters(codec="ascii").filter(lambda char: char != token[at]))
    with pytest.raises(Unauthenticated):
        VERIFIER.verify(token[:at] + char + token[at + 1 :], now_s=NOW_S)


@given(
    st.dictionaries(
        st.sampled_from(list(CLAIMS)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
        ),
        max_size=4,
    )
)
def test_any_well_signed_claims_give_a_grant_or_an_access_error(changes: dict[str, Any]) -> None:
    try:
        grant = VERIFIER.verify(signed({**CLAIMS, **changes}), now_s=NOW_S)
    except AccessError:
        return
    assert grant.tenant == {**CLAIMS, **changes}["tenant"]


def test_keys_of_an_issuer_and_our_own_secret_work_side_by_side(tmp_path: Path) -> None:
    verifier = jwks_verifier(tmp_path / "jwks", public(ED25519), public(RSA, use="sig", alg="RS256"))
    for token in (
        by(ED25519, {"alg": "EdDSA", "kid": "ed"}),
        by(ED25519, {"alg": "Ed25519", "kid": "ed"}),
        by(ED25519, {"alg": "EdDSA"}),
        by(RSA, {"alg": "RS256", "kid": "rsa"}),
        with_claims(),
    ):
        assert verifier.verify(token, now_s=NOW_S).subject == "till-1"


def test_without_a_shared_secret_only_the_issuers_keys_count(tmp_path: Path) -> None:
    verifier = jwks_verifier(tmp_path / "jwks", public(ED25519), shared=False)
    assert reason_for(with_claims(), verifier) == "untrusted"


def test_a_public_key_never_verifies_as_a_shared_secret(tmp_path: Path) -> None:
    verifier = jwks_verifier(tmp_path / "jwks", public(RSA), public(ED25519))
    pem = RSA.public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = RSA.public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    raw = ED25519.public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    for secret in (pem, der, pem.strip(), raw):
        for kid in ("rsa", "ed", "secret"):
            assert (
                reason_for(signed(CLAIMS, header={"alg": "HS256", "kid": kid}, secret=secret), verifier) == "untrusted"
            )


def test_a_key_is_bound_to_its_algorithms(tmp_path: Path) -> None:
    verifier = jwks_verifier(tmp_path / "jwks", public(RSA), public(ED25519, alg="EdDSA"))
    for key, algorithm, kid in (
        (RSA, "RS512", "rsa"),
        (RSA, "PS256", "rsa"),
        (RSA, "RS256", "ed"),
        (RSA, "EdDSA", "rsa"),
        (RSA, "EdDSA", "ed"),
        (ED25519, "Ed25519", "ed"),
        (ED25519, "EdDSA", "rsa"),
        (ED25519, "RS256", "rsa"),
    ):
        assert reason_for(by(key, {"alg": algorithm, "kid": kid}), verifier) == "untrusted"


def test_with_two_keys_for_an_algorithm_a_token_must_name_one(tmp_path: Path) -> None:
    other = OKPKey.generate_key("Ed25519", {"kid": "other"})
    verifier = jwks_verifier(tmp_path / "jwks", public(ED25519), public(other))
    assert reason_for(by(ED25519, {"alg": "EdDSA"}), verifier) == "untrusted"
    assert reason_for(by(ED25519, {"alg": "EdDSA", "kid": "other"}), verifier) == "untrusted"
    assert verifier.verify(by(other, {"alg": "EdDSA", "kid": "other"}), now_s=NOW_S).subject == "till-1"


def test_the_token_of_the_command_line_is_signed_with_a_secret_that_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    token = issue_token(path, tenant="acme", role="manager", documents=["*"], ttl_s=60, now_s=NOW_S)
    grant = TokenVerifier(KeyRing([secret_key(load_secret(path))])).verify(token, now_s=NOW_S)
    assert (grant.subject, grant.role) == ("command-line", Role.MANAGER)
    assert load_or_create_secret(path) == load_secret(path)


def test_a_token_of_a_foreign_key_may_be_older_than_it_says(tmp_path: Path) -> None:
    verifier = jwks_verifier(tmp_path / "jwks", public(ED25519))
    assert verifier.verify(by(ED25519, {"alg": "EdDSA"}), now_s=NOW_S).issued_at_s == CLAIMS["iat"] - 5
    assert verifier.verify(with_claims(), now_s=NOW_S).issued_at_s == CLAIMS["iat"]
    assert verifier.verify(with_claims(root_iat=int(NOW_S) - 99), now_s=NOW_S).issued_at_s == int(NOW_S) - 99
    assert reason_for(with_claims(root_iat="soon")) == "claims"


def test_the_signature_is_that_of_rfc_7515() -> None:
    token = TokenIssuer(secret_key(SECRET)).issue(tenant="acme", role="viewer", subject="x", ttl_s=60, now_s=NOW_S)
    message, _, signature = token.rpartition(".")
    assert signature == segment(hs256(message))


def test_the_reference_page_names_every_role_claim_algorithm_and_reason() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "tokens.md").read_text()
    names = [*Role, *CLAIMS, "nbf", "HS256", "EdDSA", "Ed25519", "RS256", *get_args(Refusal)]
    assert [name for name in names if f"`{name}`" not in page] == []
    assert f"at most {TOKEN_BYTES_MAX} bytes" in page
