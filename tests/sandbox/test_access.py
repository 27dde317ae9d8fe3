"""Credentials, tokens and the scopes of connected organisations, over the socket."""

from __future__ import annotations

import base64
import json

import pytest

from batch.sandbox.access import Credentials
from batch.sandbox.world import PARENT_ORG

TOKENS = "/v3/oauth/token/generate"


def token_of(client, key="sandbox-key"):
    data = client.http.post(TOKENS, json={"key": key, "secret": "sandbox-secret"}).json()["data"]
    return data["accessToken"]


def orgs_of(api):
    return {place.org for place in api.truth()}


def test_the_default_password_hash_is_the_one_of_the_vendors_vector():
    pair = f"{Credentials().till}:{Credentials().password_md5}"
    assert base64.b64encode(pair.encode()) == b"c3RvcmUuc2VydmVyOjhhMTZhNmI3MDUwNWViMWYxZmY3Y2RjMGNkNTU1OWE3"


def test_credentials_show_no_secret():
    shown = repr(Credentials(password_md5="hush", secret="hush"))
    assert "hush" not in shown


def test_credentials_come_from_the_environment_where_it_sets_them():
    environ = {"ENROLL_BATCH_SANDBOX_TILL": "till.2", "ENROLL_BATCH_SANDBOX_SECRET": ""}
    assert Credentials.from_environment(environ) == Credentials(till="till.2")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="},
        {"Authorization": "Bearer abc"},
        {"X-CAP-API-OAUTH-TOKEN": "abc"},
        {"X-CAP-API-OAUTH-TOKEN": ""},
    ],
)
def test_wrong_credentials_are_401_and_change_nothing(sandbox, call, code, headers):
    api = sandbox()
    client = call(api, auth=None)
    answers = [client.enroll(1, **headers), client.http.get("/v3/users/1/targetGroups", headers=headers)]
    assert [(a.status_code, code(a)) for a in answers] == [(401, 401)] * 2
    assert api.truth() == {}
    assert len(api.arrivals()) == 1


def test_basic_can_be_switched_off(sandbox, call):
    api = sandbox(basic_auth=False)
    assert call(api).enroll(1).status_code == 401
    client = call(api, auth=None)
    assert client.enroll(1, X_CAP_API_OAUTH_TOKEN=token_of(client)).status_code == 200


def test_each_token_is_another_one_and_all_work(sandbox, call):
    client = call(sandbox(), auth=None)
    tokens = [token_of(client) for _ in range(3)]
    assert len(set(tokens)) == 3
    assert [client.enroll(c, X_CAP_API_OAUTH_TOKEN=t).status_code for c, t in enumerate(tokens, 1)] == [200] * 3


def test_a_token_says_when_it_ends(sandbox, call):
    client = call(sandbox(token_ttl_s=42, now=lambda: 1_800_000_000.0), auth=None)
    answer = client.http.post(TOKENS, json={"key": "sandbox-key", "secret": "sandbox-secret"}).json()
    assert answer["errors"] is None
    assert answer["data"]["ttlSeconds"] == 42
    claims = answer["data"]["accessToken"].split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (decoded["iat"], decoded["exp"], decoded["iss"]) == (1_800_000_000, 1_800_000_042, "Capillary")


def test_an_expired_token_is_498(sandbox, call, code):
    clock = [1_800_000_000.0]
    client = call(sandbox(token_ttl_s=2, now=lambda: clock[0]), auth=None)
    token = token_of(client)
    clock[0] += 1.9
    assert client.enroll(1, X_CAP_API_OAUTH_TOKEN=token).status_code == 200
    clock[0] += 0.2
    late = client.enroll(2, X_CAP_API_OAUTH_TOKEN=token)
    assert (late.status_code, code(late)) == (498, 498)


def test_tokens_are_revoked_at_the_call_that_the_switch_names(sandbox, call):
    client = call(sandbox(revoke_tokens_at=3), auth=None)
    token = token_of(client)
    assert [client.enroll(c, X_CAP_API_OAUTH_TOKEN=token).status_code for c in (1, 2, 3, 4)] == [200, 200, 401, 401]
    assert client.enroll(3, X_CAP_API_OAUTH_TOKEN=token_of(client)).status_code == 200


def test_a_test_can_revoke_tokens_itself(sandbox, call):
    api = sandbox()
    client = call(api, auth=None)
    token = token_of(client)
    api.revoke_tokens()
    assert client.enroll(1, X_CAP_API_OAUTH_TOKEN=token).status_code == 401


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"key": "sandbox-key", "secret": "wrong"}, (401, 320001)),
        ({"key": "wrong", "secret": "sandbox-secret"}, (401, 320001)),
        ({"key": ["sandbox-key"], "secret": "sandbox-secret"}, (401, 320001)),
        ({"key": "sandbox-key"}, (400, 300004)),
        ([], (400, 300004)),
    ],
)
def test_a_token_needs_key_and_secret(sandbox, call, code, body, expected):
    answer = call(sandbox()).http.post(TOKENS, json=body)
    assert (answer.status_code, code(answer)) == expected


def test_a_bad_key_can_be_answered_under_200(sandbox, call, code):
    answer = call(sandbox(status="320001:200")).http.post(TOKENS, json={"key": "a", "secret": "b"})
    assert (answer.status_code, code(answer)) == (200, 320001)


def test_a_token_request_must_be_json(sandbox, call):
    assert call(sandbox()).http.post(TOKENS, data={"key": "a"}).status_code == 415


def test_without_access_every_call_is_403_with_4000(sandbox, call, code):
    client = call(sandbox(access=False))
    answers = [client.enroll(1), client.unenroll(1), client.http.get("/v3/targetGroups/29463/targets")]
    assert [(a.status_code, code(a)) for a in answers] == [(403, 4000)] * 3


@pytest.mark.parametrize(
    ("headers", "org"),
    [
        ({}, PARENT_ORG),
        ({"DATA_SCOPE": "SELF"}, PARENT_ORG),
        ({"DATA_SCOPE": "SELF", "DATA_SCOPE_ORG": "50672"}, PARENT_ORG),
        ({"DATA_SCOPE": "OTHER", "DATA_SCOPE_ORG": "50672"}, 50672),
        ({"DATA_SCOPE": "other", "DATA_SCOPE_ORG": "50673,"}, 50673),
    ],
)
def test_a_write_goes_to_the_organisation_that_its_scope_names(sandbox, call, headers, org):
    api = sandbox()
    assert call(api).enroll(1, **headers).status_code == 200
    assert orgs_of(api) == {org}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"DATA_SCOPE": "ALL"}, 310141),
        ({"DATA_SCOPE": "OTHER"}, 310144),
        ({"DATA_SCOPE": "OTHER", "DATA_SCOPE_ORG": "50674"}, 310144),
        ({"DATA_SCOPE": "OTHER", "DATA_SCOPE_ORG": str(PARENT_ORG)}, 310144),
        ({"DATA_SCOPE": "OTHER", "DATA_SCOPE_ORG": "abc"}, 310144),
        ({"DATA_SCOPE": "OTHER", "DATA_SCOPE_ORG": "50672,50673"}, 310144),
        ({"DATA_SCOPE": "EVERYBODY"}, 310144),
    ],
)
def test_a_scope_that_cannot_be_written_is_refused(sandbox, call, code, headers, expected):
    api = sandbox()
    client = call(api)
    answers = [client.enroll(1, **headers), client.unenroll(1, **headers)]
    assert [(a.status_code, code(a)) for a in answers] == [(400, expected)] * 2
    assert api.truth() == {}


def test_v3_knows_no_scopes(sandbox, call):
    api = sandbox()
    assert call(api).enroll(1, version="v3", DATA_SCOPE="ALL").status_code == 200
    assert orgs_of(api) == {PARENT_ORG}


def test_a_child_writes_to_itself_and_never_to_others(sandbox, call, code):
    api = sandbox()
    client = call(api, auth=("store.server.50672", Credentials().password_md5))
    assert client.enroll(1).status_code == 200
    assert orgs_of(api) == {50672}
    other = {"DATA_SCOPE": "OTHER", "DATA_SCOPE_ORG": "50673"}
    assert code(client.enroll(1, **other)) == 310144
    token = token_of(client, key="sandbox-key.50673")
    assert call(api, auth=None).enroll(1, X_CAP_API_OAUTH_TOKEN=token).status_code == 200
    assert orgs_of(api) == {50672, 50673}


def test_several_orgs_can_be_cut_to_the_first(sandbox, call):
    api = sandbox(several_orgs="ignore")
    call(api).enroll(1, DATA_SCOPE="OTHER", DATA_SCOPE_ORG="50673,50672")
    assert orgs_of(api) == {50673}


def test_the_code_for_a_malformed_scope_can_be_set(sandbox, call, code):
    assert code(call(sandbox(bad_scope_code=300004)).enroll(1, DATA_SCOPE="EVERYBODY")) == 300004
