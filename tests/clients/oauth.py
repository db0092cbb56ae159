"""The authorization server as Authlib meets it, and as those meet it who mean harm.

What is expected is what the RFCs say: 6749, 6750, 7009, 7636, 7662, 8252, 8414, 8628, 9207 and 9700.
"""

import re
import subprocess
import tempfile
import time
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9207 import AuthorizationServerMetadata as IssMetadata

from forge import (
    GIT, META, PATIENCE, TOKEN, USER, Browser, Failed, Page, a_signed_in_browser, ask_api, expect, expect_dead,
    expect_equal, expect_scopes, expect_status, query_of, run, step, told,
)

REDIRECT = "https://app.example/callback"
REPOS = "git.sr.ht/REPOSITORIES"
OBJECTS = "git.sr.ht/OBJECTS"
PROFILE = "meta.sr.ht/PROFILE"
KEYS = "meta.sr.ht/SSH_KEYS"
SCOPES = f"{REPOS}:RW {PROFILE}:RO"
DAY = 24 * 60 * 60
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


# Applications and the people who use them.


class App:
    """An application that is registered here: OAuth2Session makes a client of it."""

    def __init__(self, kind, redirect_uri, id, secret):
        self.kind = kind
        self.redirect_uri = redirect_uri
        self.id = id
        self.secret = secret

    def session(self, method=None, **more):
        more.setdefault("scope", SCOPES)
        more.setdefault("redirect_uri", self.redirect_uri)
        session = OAuth2Session(
            self.id, self.secret, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method,
            code_challenge_method="S256", default_timeout=PATIENCE, token_endpoint=endpoint("token_endpoint"), **more,
        )
        session.trust_env = False
        return session


@cache
def person():
    """Whoever uses the applications, signed in."""
    return a_signed_in_browser()


@cache
def elsewhere():
    """The same person with another browser."""
    return a_signed_in_browser()


@cache
def metadata():
    return requests.get(f"{META}/.well-known/oauth-authorization-server", timeout=PATIENCE).json()


def endpoint(name):
    return metadata()[name]


def answer_to_registration(browser, **fields):
    form = browser.page(f"{META}/oauth2/client-registration").form("/oauth2/client-registration")
    return browser.submit(form, **{"name": "An application", "redirect_uri": REDIRECT, "kind": "confidential", **fields})


def register(kind, redirect_uri=REDIRECT, **fields):
    page = Page(expect_status(answer_to_registration(person(), kind=kind, redirect_uri=redirect_uri, **fields), 200))
    secret = None if kind == "public" else page.output("client-secret")
    return App(kind, redirect_uri, page.output("client-id"), secret)


@cache
def confidential():
    return register("confidential")


@cache
def public():
    return register("public")


@cache
def native():
    """A program on its user's machine, which listens there for its answer."""
    return register("public", "http://127.0.0.1/callback")


@cache
def foreign():
    """Another application than the one that was asked for."""
    return register("confidential")


def authorize_url(app, **fields):
    """Where an application sends its user; without a challenge unless one is given."""
    fields = {
        "response_type": "code", "client_id": app.id, "redirect_uri": app.redirect_uri, "scope": SCOPES,
        "state": "a state", **fields,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    return f"{endpoint('authorization_endpoint')}?{urlencode(fields)}"


def consent_form(url, browser=None):
    return (browser or person()).page(url).form("/oauth2/authorize")


def consent(url, decision="allow", **fields):
    """Where the user ends who consents."""
    form = consent_form(url)
    answer = expect_status(person().submit(form, decision=decision, **fields), 303)
    return answer.headers["Location"]


def code_for(app, **fields):
    """A code of an application's, and what there is to know for its exchange."""
    return query_of(consent(authorize_url(app, **fields)))["code"]


def code_and_verifier(app):
    verifier = generate_token(48)
    url, state = app.session().create_authorization_url(endpoint("authorization_endpoint"), code_verifier=verifier)
    back = query_of(consent(url))
    expect_equal("state", back.get("state"), state)
    return back["code"], verifier


def tokens_of(app, method=None, **more):
    """What an application has once its user has consented to everything that it asks for."""
    session = app.session(method, **more)
    verifier = generate_token(48)
    url, state = session.create_authorization_url(endpoint("authorization_endpoint"), code_verifier=verifier)
    location = consent(url)
    expect_iss(location)
    session.fetch_token(authorization_response=location, state=state, code_verifier=verifier)
    return session


def expect_iss(location):
    expect_equal("iss", query_of(location).get("iss"), metadata()["issuer"])


def ask_token(app=None, auth=None, **fields):
    """Asks the token endpoint with just these fields: as Basic says, or with the secret in the body, or with an id."""
    if app and auth is None:
        if app.secret:
            auth = (app.id, app.secret)
        else:
            fields["client_id"] = app.id
    return ask("token_endpoint", fields, auth)


def ask(name, fields, auth=None, **options):
    session = requests.Session()
    session.trust_env = False
    return session.post(endpoint(name), data=fields, auth=auth, timeout=PATIENCE, **options)


def exchange(app, code, verifier=None, redirect_uri=REDIRECT, **more):
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier, **more}
    return ask_token(app, **{name: value for name, value in fields.items() if value is not None})


def expect_error(answer, error, status=400):
    """RFC 6749 5.2."""
    expect_status(answer, status)
    expect("application/json" in answer.headers.get("Content-Type", ""), f"it is not JSON{told(answer)}")
    expect(answer.json().get("error") == error, f"the error is not {error}{told(answer)}")
    expect("no-store" in answer.headers.get("Cache-Control", ""), f"it may be kept by caches{told(answer)}")
    return answer


def expect_refused(call, error):
    """Authlib is told an error."""
    try:
        call()
    except OAuthError as told_error:
        expect_equal("the error", told_error.error, error)
    else:
        raise Failed(f"it went well instead of {error}")


def expect_error_redirect(location, error, state="a state"):
    """RFC 6749 4.1.2.1 and RFC 9207."""
    expect(location.startswith(REDIRECT + "?"), f"the user is sent to {location}")
    back = query_of(location)
    expect_equal("error", back.get("error"), error)
    expect_equal("state", back.get("state"), state)
    expect("code" not in back, f"there is a code in {location}")
    expect_iss(location)


def expect_no_redirect(answer, status=400):
    expect_status(answer, status)
    expect("Location" not in answer.headers, f"it leads elsewhere{told(answer)}")


def scopes_of(text):
    """The scopes that a text names, read-only unless it says otherwise."""
    pairs = (scope.partition(":") for scope in text.split())
    return {(name, mode or "RO") for name, _, mode in pairs}


def expect_tokens(token, scope=SCOPES):
    """RFC 6749 5.1."""
    expect_equal("token_type", token["token_type"].lower(), "bearer")
    expect_equal("expires_in", token["expires_in"], DAY)
    expect_equal("the scopes", scopes_of(token["scope"]), scopes_of(scope))
    expect(token.get("refresh_token"), f"there is no refresh token in {token}")


# What is there.


@step
def the_metadata_are_in_both_places_and_valid():
    issuer = metadata()["issuer"]
    expect_equal("the issuer", issuer, META)
    for url in (f"{META}/.well-known/oauth-authorization-server", get_well_known_url(META, external=True)):
        answer = expect_status(requests.get(url, timeout=PATIENCE), 200)
        expect_equal("the type", answer.headers["Content-Type"].split(";")[0], "application/json")
        expect_equal(url, answer.json(), metadata())
    AuthorizationServerMetadata(metadata()).validate(metadata_classes=[IssMetadata])


@step
def the_metadata_name_every_endpoint_and_what_it_takes():
    for name in ("authorization", "token", "introspection", "revocation", "device_authorization"):
        url = endpoint(f"{name}_endpoint")
        expect(url.startswith(f"{META}/"), f"{name} is at {url}")
    wanted = {
        "response_types_supported": {"code"},
        "grant_types_supported": {"authorization_code", "refresh_token", DEVICE_GRANT},
        "token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "none"},
        "code_challenge_methods_supported": {"S256"},
    }
    for name, values in wanted.items():
        expect_equal(name, set(metadata()[name]), values)
    expect(metadata()["authorization_response_iss_parameter_supported"] is True, "iss is not promised")
    for scope in (REPOS, OBJECTS, PROFILE, KEYS):
        expect(scope in " ".join(metadata()["scopes_supported"]), f"{scope} is not told of")


# Codes.


@step
def an_application_with_a_secret_gets_tokens_with_basic():
    session = tokens_of(confidential(), "client_secret_basic")
    expect_tokens(session.token)
    expect_scopes(session.token["access_token"], REPOS, PROFILE)


@step
def an_application_with_a_secret_gets_tokens_with_it_in_the_body():
    session = tokens_of(confidential(), "client_secret_post")
    expect_tokens(session.token)
    expect_scopes(session.token["access_token"], REPOS, PROFILE)


@step
def an_application_without_a_secret_gets_tokens():
    session = tokens_of(public())
    expect_tokens(session.token)
    expect_scopes(session.token["access_token"], REPOS, PROFILE)


@step
def authlib_asks_the_apis_with_what_it_got():
    session = tokens_of(public())
    expect_equal("the name", expect_status(session.get(f"{GIT}/api/user"), 200).json()["canonical_name"], f"~{USER}")
    expect_status(session.get(f"{META}/api/user/profile"), 200)
    expect_status(session.get(f"{META}/api/user/ssh-keys"), 403)


@step
def a_program_listens_on_any_port_of_its_machine():
    for uri in ("http://127.0.0.1:49152/callback", "http://127.0.0.1:8/callback"):
        verifier = generate_token(48)
        session = native().session(redirect_uri=uri)
        url, state = session.create_authorization_url(endpoint("authorization_endpoint"), code_verifier=verifier)
        location = consent(url)
        expect(location.startswith(uri + "?"), f"the user is sent to {location}")
        session.fetch_token(authorization_response=location, state=state, code_verifier=verifier)
        expect_tokens(session.token)


@step
def a_redirect_uri_need_not_be_named_again():
    code = code_for(confidential(), redirect_uri=None)
    expect_tokens(expect_status(exchange(confidential(), code, redirect_uri=None), 200).json())


@step
def tokens_are_kept_by_no_cache():
    code, verifier = code_and_verifier(confidential())
    answer = expect_status(exchange(confidential(), code, verifier), 200)
    expect("no-store" in answer.headers.get("Cache-Control", ""), f"it may be kept{told(answer)}")
    expect("application/json" in answer.headers["Content-Type"], f"it is not JSON{told(answer)}")


@step
def a_user_leaves_out_a_scope_and_the_application_is_told():
    url = authorize_url(confidential())
    code = query_of(consent(url, **{PROFILE: "", REPOS: "RO"}))["code"]
    token = expect_status(exchange(confidential(), code), 200).json()
    expect_tokens(token, f"{REPOS}:RO")
    expect_scopes(token["access_token"], REPOS)
    made = post_repo(token["access_token"], "never")
    expect_status(made, 403)


@step
def a_form_cannot_give_more_than_was_asked_for():
    url = authorize_url(confidential(), scope=f"{PROFILE}:RO")
    code = query_of(consent(url, **{PROFILE: "RW", KEYS: "RW", REPOS: "RW"}))["code"]
    token = expect_status(exchange(confidential(), code), 200).json()
    expect_tokens(token, f"{PROFILE}:RO")
    expect_scopes(token["access_token"], PROFILE)


@step
def a_user_refuses_and_the_application_is_told():
    expect_error_redirect(consent(authorize_url(confidential()), "deny"), "access_denied")


@step
def a_form_without_a_decision_gives_nothing():
    form = consent_form(authorize_url(confidential()))
    answer = person().submit(form)
    expect("code=" not in answer.headers.get("Location", ""), f"it gave a code{told(answer)}")


@step
def an_authorization_is_listed_and_revoked_on_the_page():
    app = register("confidential", name="To be revoked")
    session = tokens_of(app)
    page = person().page(f"{META}/oauth2")
    expect("To be revoked" in page.text, "the authorization is not listed")
    known = re.compile(r"/oauth2/authorization/[^/]+/revoke$")
    forms = [form for form in page.forms if known.search(urlsplit(form.action).path)]
    for form in forms:
        expect_status(person().submit(form), 303)
    expect_dead(session.token["access_token"])
    expect_refused(lambda: session.refresh_token(), "invalid_grant")


# Refresh tokens, introspection, revocation.


@step
def a_refresh_token_is_good_for_new_tokens():
    for app in (confidential(), public()):
        session = tokens_of(app)
        before = dict(session.token)
        after = session.refresh_token()
        expect_tokens(after)
        expect(after["refresh_token"] != before["refresh_token"], "the refresh token is the same")
        expect(after["access_token"] != before["access_token"], "the access token is the same")
        expect_scopes(after["access_token"], REPOS, PROFILE)


@step
def a_refresh_may_ask_for_less():
    session = tokens_of(confidential())
    less = session.refresh_token(scope=f"{PROFILE}:RO")
    expect_equal("the scopes", scopes_of(less["scope"]), scopes_of(PROFILE))
    expect_scopes(less["access_token"], PROFILE)


@step
def a_refresh_for_more_scopes_is_refused():
    for more in (f"{SCOPES} {KEYS}:RO", f"{PROFILE}:RW", KEYS):
        session = tokens_of(confidential())
        expect_refused(lambda: session.refresh_token(scope=more), "invalid_scope")


@step
def a_replayed_refresh_token_ends_all_that_came_of_it():
    for app in (confidential(), public()):
        session = tokens_of(app)
        first = dict(session.token)
        second = dict(session.refresh_token())
        expect_scopes(second["access_token"], REPOS, PROFILE)
        replay = ask_token(app, grant_type="refresh_token", refresh_token=first["refresh_token"])
        expect_error(replay, "invalid_grant")
        for token in (first, second):
            expect_dead(token["access_token"])
        again = ask_token(app, grant_type="refresh_token", refresh_token=second["refresh_token"])
        expect_error(again, "invalid_grant")


@step
def another_applications_refresh_token_is_refused():
    session = tokens_of(confidential())
    for app in (foreign(), public()):
        answer = ask_token(app, grant_type="refresh_token", refresh_token=session.token["refresh_token"])
        expect_error(answer, "invalid_grant")


@step
def introspection_tells_an_application_of_its_tokens():
    session = tokens_of(confidential())
    about = expect_status(session.introspect_token(endpoint("introspection_endpoint"), session.token["access_token"]), 200).json()
    expect(about["active"] is True, f"the token is not active: {about}")
    expect_equal("client_id", about["client_id"], confidential().id)
    expect_equal("the scopes", scopes_of(about["scope"]), scopes_of(SCOPES))
    expect_equal("token_type", about.get("token_type", "bearer").lower(), "bearer")
    expect(abs(about["exp"] - time.time() - DAY) < 300, f"it ends at {about['exp']}")
    expect_equal("username", about.get("username", USER).lstrip("~"), USER)


@step
def introspection_tells_nothing_of_what_is_no_token():
    session = tokens_of(confidential())
    for text in ("nonsense", session.token["access_token"] + "x", session.token["access_token"][:-1]):
        about = expect_status(session.introspect_token(endpoint("introspection_endpoint"), text), 200).json()
        expect_equal("what is told", about, {"active": False})


@step
def introspection_wants_an_application():
    session = tokens_of(confidential())
    fields = {"token": session.token["access_token"]}
    expect_status(ask("introspection_endpoint", fields), 401)
    expect_status(ask("introspection_endpoint", fields, (confidential().id, "wrong")), 401)


@step
def a_revoked_access_token_is_dead():
    for app in (confidential(), public()):
        session = tokens_of(app)
        access = session.token["access_token"]
        expect_status(session.revoke_token(endpoint("revocation_endpoint"), access, token_type_hint="access_token"), 200)
        expect_dead(access)
    session = tokens_of(confidential())
    expect_status(session.revoke_token(endpoint("revocation_endpoint"), session.token["access_token"]), 200)
    about = session.introspect_token(endpoint("introspection_endpoint"), session.token["access_token"]).json()
    expect_equal("what is told", about, {"active": False})


@step
def a_revoked_refresh_token_takes_its_access_tokens_along():
    for hint in ("refresh_token", "access_token", None):
        session = tokens_of(confidential())
        refresh = session.token["refresh_token"]
        expect_status(session.revoke_token(endpoint("revocation_endpoint"), refresh, token_type_hint=hint), 200)
        expect_dead(session.token["access_token"])
        expect_refused(lambda: session.refresh_token(refresh_token=refresh), "invalid_grant")


@step
def revoking_what_is_no_token_is_no_error():
    session = tokens_of(confidential())
    expect_status(session.revoke_token(endpoint("revocation_endpoint"), "nonsense"), 200)


@step
def nobody_else_revokes_an_applications_token():
    session = tokens_of(confidential())
    access = session.token["access_token"]
    ask("revocation_endpoint", {"token": access}, (foreign().id, foreign().secret))
    expect_error(ask("revocation_endpoint", {"token": access}, (confidential().id, "wrong")), "invalid_client", 401)
    expect_error(ask("revocation_endpoint", {"token": access}), "invalid_client", 401)
    expect_scopes(access, REPOS, PROFILE)


# Devices.


def begin_on_a_device(app, scope=SCOPES):
    fields = {"client_id": app.id, "scope": scope}
    auth = (app.id, app.secret) if app.secret else None
    begun = expect_status(ask("device_authorization_endpoint", fields, auth), 200).json()
    for name in ("device_code", "user_code", "verification_uri", "expires_in"):
        expect(begun.get(name), f"there is no {name} in {begun}")
    expect(0 < begun["expires_in"] <= 1800, f"the code lives for {begun['expires_in']} s")
    expect(begun["verification_uri"].startswith(f"{META}/"), f"the user is sent to {begun['verification_uri']}")
    return begun


def device_form(user_code):
    form = person().page(f"{META}/oauth2/device").form("/oauth2/device")
    page = person().page(f"{form.action}?{urlencode({**form.fields, 'user_code': user_code})}")
    forms = [form for form in page.forms if form.method == "post"]
    expect(len(forms) == 1, f"there is nothing to consent to{told(page.response)}")
    return forms[0]


@step
def a_device_waits_for_its_user_and_slows_down_when_told():
    app = public()
    begun = begin_on_a_device(app)
    interval = begun.get("interval", 5)
    session = app.session()
    poll = lambda: session.fetch_token(grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    expect_refused(poll, "authorization_pending")
    expect_refused(poll, "slow_down")
    expect_status(person().submit(device_form(begun["user_code"]), decision="allow"), 200)
    # RFC 8628 3.5: five seconds more from then on.
    time.sleep(interval + 5.2)
    poll()
    expect_tokens(session.token)
    expect_scopes(session.token["access_token"], REPOS, PROFILE)
    expect_tokens(session.refresh_token())
    used = ask_token(app, grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    expect_error(used, "invalid_grant")


@step
def a_code_is_read_as_people_type_it():
    for typed in (str.lower, lambda code: code.replace("-", ""), lambda code: f" {code.replace('-', ' ')} "):
        begun = begin_on_a_device(public())
        expect_status(person().submit(device_form(typed(begun["user_code"])), decision="deny"), 200)
        expect_error(ask_token(public(), grant_type=DEVICE_GRANT, device_code=begun["device_code"]), "access_denied")


@step
def a_user_drops_a_scope_of_a_device():
    begun = begin_on_a_device(confidential())
    expect_status(person().submit(device_form(begun["user_code"]), decision="allow", **{PROFILE: ""}), 200)
    answer = ask_token(confidential(), grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    token = expect_status(answer, 200).json()
    expect_tokens(token, f"{REPOS}:RW")
    expect_scopes(token["access_token"], REPOS)


@step
def a_code_that_nobody_was_shown_is_refused():
    page = Page(person().get(f"{META}/oauth2/device?user_code=BBBB-BBBB"))
    expect(not any(form.method == "post" for form in page.forms), f"there is something to consent to{told(page.response)}")
    expect(page.alerts, f"nothing is said about it{told(page.response)}")


@step
def a_used_code_is_refused():
    begun = begin_on_a_device(public())
    form = device_form(begun["user_code"])
    expect_status(person().submit(form, decision="deny"), 200)
    again = person().submit(form, decision="allow")
    expect(again.status_code >= 400 or Page(again).alerts, f"it went well{told(again)}")
    expect_error(ask_token(public(), grant_type=DEVICE_GRANT, device_code=begun["device_code"]), "access_denied")


@step
def another_applications_device_code_is_refused():
    begun = begin_on_a_device(confidential())
    for app in (foreign(), public()):
        expect_error(ask_token(app, grant_type=DEVICE_GRANT, device_code=begun["device_code"]), "invalid_grant")
    expect_error(ask_token(public(), grant_type=DEVICE_GRANT, device_code="nonsense"), "invalid_grant")


@step
def devices_of_no_application_are_refused():
    expect_error(ask("device_authorization_endpoint", {"client_id": "nobody"}), "invalid_client", 401)
    wrong = ask("device_authorization_endpoint", {"scope": SCOPES}, (confidential().id, "wrong"))
    expect_error(wrong, "invalid_client", 401)
    bad = ask("device_authorization_endpoint", {"client_id": public().id, "scope": "no.such/SCOPE"})
    expect_error(bad, "invalid_scope")


# Personal tokens, the older scheme, git.


def personal_token(comment, **fields):
    form = person().page(f"{META}/oauth2").form("/oauth2/personal-token")
    answer = expect_status(person().submit(form, comment=comment, **fields), 200)
    return Page(answer).output()


def revoke_personal_token(comment):
    response = person().page(f"{META}/oauth2").response
    item = next(item for item in response.text.split("<li>") if comment in item)
    action = re.search(r'action="([^"]*/personal-token/[^"]+/revoke)"', item).group(1)
    form = Page(response).form(unescape(action))
    expect_status(person().submit(form), 303)


@step
def a_personal_token_is_good_for_its_scopes_until_it_is_revoked():
    comment = generate_token(12)
    secret = personal_token(comment, days="30", **{PROFILE: "RO", KEYS: "RW"})
    expect_scopes(secret, PROFILE, KEYS)
    expect(secret not in person().page(f"{META}/oauth2").response.text, "the token is shown again")
    revoke_personal_token(comment)
    expect_dead(secret)
    expect(comment not in person().page(f"{META}/oauth2").text, "the token is still listed")


@step
def a_personal_token_may_be_good_for_everything_or_for_what_is_spelled_out():
    expect_scopes(personal_token("everything", everything="on"), REPOS, PROFILE, KEYS)
    expect_scopes(personal_token("spelled out", literal_grants=f"{REPOS} {KEYS}:RO"), REPOS, KEYS)


@step
def a_personal_token_of_nonsense_is_refused():
    form = person().page(f"{META}/oauth2").form("/oauth2/personal-token")
    answer = person().submit(form, comment="for nothing")
    expect(answer.status_code == 400, f"a token for nothing was made{told(answer)}")
    for fields in ({"literal_grants": "no.such/SCOPE"}, {"days": "-1"}, {"days": "x"}, {"comment": "x" * 5000}):
        answer = person().submit(form, everything="on", **fields)
        expect(400 <= answer.status_code < 500, f"it went well with {fields}{told(answer)}")


def legacy_url(app, **fields):
    fields = {"client_id": app.id, "scopes": "git.sr.ht/info:read,meta.sr.ht/keys:read", "redirect_uri": REDIRECT, "state": "a state", **fields}
    return f"{META}/oauth/authorize?{urlencode(fields)}"


@cache
def legacy():
    return register("legacy")


def legacy_exchange():
    form = person().page(legacy_url(legacy())).form("/oauth/authorize")
    location = expect_status(person().submit(form, decision="allow"), 303).headers["Location"]
    expect(location.startswith(REDIRECT + "?"), f"the user is sent to {location}")
    back = query_of(location)
    expect_equal("state", back.get("state"), "a state")
    return back["exchange"]


def ask_legacy(app, text, secret=None, **options):
    fields = {"client_id": app.id, "client_secret": secret or app.secret, "exchange": text}
    return requests.post(f"{META}/oauth/exchange", json=fields, timeout=PATIENCE)


@step
def an_application_of_the_older_scheme_gets_a_token_once():
    text = legacy_exchange()
    token = expect_status(ask_legacy(legacy(), text), 200).json()["token"]
    expect_scopes(token, REPOS, KEYS, PROFILE)
    again = ask_legacy(legacy(), text)
    expect(again.status_code in (400, 401), f"it went well again{told(again)}")


@step
def an_exchange_of_the_older_scheme_is_its_applications_own():
    wrong = ask_legacy(legacy(), legacy_exchange(), secret="wrong")
    expect(wrong.status_code in (400, 401), f"it went well with a wrong secret{told(wrong)}")
    other = ask_legacy(register("legacy"), legacy_exchange())
    expect(other.status_code in (400, 401), f"another application got it{told(other)}")
    for uri in ("https://evil.example/", REDIRECT + "/more", "//evil.example"):
        expect_no_redirect(person().get(legacy_url(legacy(), redirect_uri=uri)))


@step
def the_schemes_do_not_mix():
    expect_no_redirect(person().get(legacy_url(confidential())))
    answer = person().get(authorize_url(legacy()))
    expect_no_redirect(answer)
    text = legacy_exchange()
    answer = exchange(legacy(), text)
    expect(answer.status_code in (400, 401), f"a token endpoint took it{told(answer)}")


def post_repo(token, name):
    headers = {"Authorization": f"Bearer {token}"}
    fields = {"name": name, "visibility": "private"}
    return requests.post(f"{GIT}/api/repos", json=fields, headers=headers, timeout=PATIENCE)


def git(*arguments, token, path):
    """Whether git does it, with the token for a password and nothing of this machine's configuration."""
    url = f"{GIT.replace('://', f'://{quote(USER)}:{quote(token)}@')}/~{USER}/clients"
    arguments = [url if argument == "URL" else argument for argument in arguments]
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    done = subprocess.run(["git", *arguments], cwd=path, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode == 0, done.stderr


@step
def git_takes_a_token_as_far_as_its_scopes_go():
    made = post_repo(TOKEN, "clients")
    expect(made.status_code in (201, 400, 409), f"no repository{told(made)}")
    allowed = {
        # What may be done: clone, push.
        f"{OBJECTS}:RW": (True, True),
        f"{OBJECTS}:RO": (True, False),
        f"{REPOS}:RW {PROFILE}:RO": (False, False),
    }
    for scope, wanted in allowed.items():
        session = tokens_of(confidential(), scope=scope)
        token = session.token["access_token"]
        with tempfile.TemporaryDirectory() as path:
            path = Path(path)
            cloned, said = git("clone", "-q", "URL", "cloned", token=token, path=path)
            expect(cloned == wanted[0], f"git clone with {scope}: {said}")
            git("init", "-q", "-b", "master", "pushed", token=token, path=path)
            git("commit", "-q", "--allow-empty", "-m", scope, token=token, path=path / "pushed")
            pushed, said = git("push", "-q", "URL", f"HEAD:refs/heads/{generate_token(8)}", token=token, path=path / "pushed")
            expect(pushed == wanted[1], f"git push with {scope}: {said}")
            if wanted[0]:
                revoke = session.revoke_token(endpoint("revocation_endpoint"), token)
                expect_status(revoke, 200)
                listed, said = git("ls-remote", "URL", token=token, path=path)
                expect(not listed, f"git ls-remote with a revoked token: {said}")


# Attacks: codes.


@step
def a_reused_code_ends_the_tokens_that_it_gave():
    for app in (confidential(), public()):
        code, verifier = code_and_verifier(app)
        token = expect_status(exchange(app, code, verifier), 200).json()
        expect_scopes(token["access_token"], REPOS, PROFILE)
        expect_error(exchange(app, code, verifier), "invalid_grant")
        expect_dead(token["access_token"])
        again = ask_token(app, grant_type="refresh_token", refresh_token=token["refresh_token"])
        expect_error(again, "invalid_grant")


@step
def a_wrong_verifier_is_refused():
    for app in (confidential(), public()):
        code, verifier = code_and_verifier(app)
        expect_error(exchange(app, code, verifier[:-1] + ("a" if verifier[-1] != "a" else "b")), "invalid_grant")


@step
def a_missing_verifier_is_refused():
    for app in (confidential(), public()):
        code, _ = code_and_verifier(app)
        answer = exchange(app, code)
        expect(answer.json().get("error") in ("invalid_grant", "invalid_request"), f"it went well{told(answer)}")
        expect_status(answer, 400)


@step
def a_verifier_without_a_challenge_is_refused():
    code = code_for(confidential())
    expect_error(exchange(confidential(), code, generate_token(48)), "invalid_grant")


@step
def a_plain_challenge_is_refused():
    for app in (confidential(), public()):
        for method in ("plain", None, "s256"):
            url = authorize_url(app, code_challenge=generate_token(48), code_challenge_method=method)
            answer = expect_status(person().get(url), 303)
            expect_error_redirect(answer.headers["Location"], "invalid_request")


@step
def an_application_without_a_secret_must_send_a_challenge():
    answer = expect_status(person().get(authorize_url(public())), 303)
    expect_error_redirect(answer.headers["Location"], "invalid_request")


@step
def another_applications_code_is_refused_and_burnt():
    code, verifier = code_and_verifier(confidential())
    expect_error(exchange(foreign(), code, verifier), "invalid_grant")
    expect_error(exchange(confidential(), code, verifier), "invalid_grant")


@step
def a_code_of_nobody_is_refused():
    expect_error(exchange(confidential(), "nonsense"), "invalid_grant")


@step
def a_redirect_uri_that_was_named_must_be_named_again():
    for uri in (None, REDIRECT + "/", "https://evil.example/"):
        expect_error(exchange(confidential(), code_for(confidential()), redirect_uri=uri), "invalid_grant")


# Attacks: applications that are not who they say.


@step
def a_wrong_secret_is_refused():
    app = confidential()
    code = code_for(app)
    answer = expect_error(exchange(None, code, auth=(app.id, "wrong")), "invalid_client", 401)
    expect("basic" in answer.headers.get("WWW-Authenticate", "").lower(), f"no way in is told{told(answer)}")
    expect_error(exchange(None, code, client_id=app.id, client_secret="wrong"), "invalid_client", 401)
    expect_error(exchange(None, code, client_id=app.id), "invalid_client", 401)
    expect_error(exchange(None, code, auth=(app.id, "")), "invalid_client", 401)
    expect_error(exchange(None, code), "invalid_client", 401)
    # Whoever cannot show who it is has not burnt the code.
    expect_tokens(expect_status(exchange(app, code), 200).json())


@step
def an_unknown_application_is_refused():
    nobody = "5c1b2ab4-0c5e-4d35-a77e-6a5b4f0a7e6f"
    expect_error(exchange(None, "x", auth=(nobody, "x")), "invalid_client", 401)
    expect_error(exchange(None, "x", client_id=nobody, client_secret="x"), "invalid_client", 401)
    expect_error(exchange(None, "x", client_id="no\0body"), "invalid_client", 401)
    expect_no_redirect(person().get(authorize_url(App("public", REDIRECT, nobody, None))))


@step
def two_ways_of_showing_who_one_is_are_refused():
    app = confidential()
    both = exchange(None, code_for(app), auth=(app.id, app.secret), client_id=app.id, client_secret=app.secret)
    expect_error(both, "invalid_request")


@step
def requests_that_are_none_are_refused():
    app = confidential()
    expect_error(ask_token(app, code="x"), "invalid_request")
    expect_error(ask_token(app, grant_type="password", username=USER, password="x"), "unsupported_grant_type")
    expect_error(ask_token(app, grant_type="client_credentials"), "unsupported_grant_type")
    expect_error(ask_token(app, grant_type="authorization_code", redirect_uri=REDIRECT), "invalid_request")
    expect_error(ask_token(app, grant_type="refresh_token"), "invalid_request")
    twice = [("grant_type", "authorization_code"), ("code", "x"), ("code", "y"), ("redirect_uri", REDIRECT)]
    expect_error(ask("token_endpoint", twice, (app.id, app.secret)), "invalid_request")
    json = requests.post(endpoint("token_endpoint"), json={"grant_type": "refresh_token"}, auth=(app.id, app.secret), timeout=PATIENCE)
    expect(400 <= json.status_code < 500, f"it is no form{told(json)}")
    asked = requests.get(endpoint("token_endpoint"), timeout=PATIENCE)
    expect_status(asked, 405)


@step
def a_secret_that_was_replaced_is_refused():
    app = register("confidential")
    form = person().page(f"{META}/oauth2").form(f"/oauth2/client/{app.id}/reset-secret")
    new = Page(expect_status(person().submit(form), 200)).output("client-secret")
    expect(new != app.secret, "the secret is the same")
    expect_error(exchange(app, code_for(app)), "invalid_client", 401)
    app.secret = new
    expect_tokens(expect_status(exchange(app, code_for(app)), 200).json())


@step
def an_application_that_was_revoked_takes_its_tokens_along():
    app = register("confidential")
    session = tokens_of(app)
    form = person().page(f"{META}/oauth2").form(f"/oauth2/client/{app.id}/revoke")
    expect_status(person().submit(form), 303)
    expect_dead(session.token["access_token"])
    refresh = ask_token(app, grant_type="refresh_token", refresh_token=session.token["refresh_token"])
    expect_error(refresh, "invalid_client", 401)
    expect_no_redirect(person().get(authorize_url(app)))


# Attacks: where users are led.


@step
def a_wrong_redirect_uri_is_told_to_the_user_alone():
    bad = [
        "https://evil.example/", "//evil.example/callback", REDIRECT + "/", REDIRECT + "?x=1", REDIRECT + "#x", REDIRECT + "/../evil",
        "https://app.example:8443/callback", "http://app.example/callback", "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback", "https://APP.example/callback", "https://app.example/Callback",
        "https://app.example\\@evil.example/callback", "https://app.example/%63allback", "javascript:alert(1)",
        f"{REDIRECT} https://evil.example/", f"{REDIRECT}\r\nX: y", "x",
    ]
    for browser in (person(), Browser()):
        for uri in bad:
            for more in ({}, {"response_type": "token"}, {"scope": "no.such/SCOPE"}):
                answer = browser.get(authorize_url(confidential(), redirect_uri=uri, **more))
                expect_no_redirect(answer)
    for twice in ({"redirect_uri": "https://evil.example/"}, {"client_id": foreign().id}):
        expect_no_redirect(person().get(f"{authorize_url(confidential())}&{urlencode(twice)}"))


@step
def only_the_port_of_a_programs_redirect_uri_is_free():
    bad = [
        "http://127.0.0.1:8/other", "http://localhost:8/callback", "http://127.0.0.2:8/callback", "https://127.0.0.1:8/callback",
        "http://[::1]:8/callback", "http://127.0.0.1:8@evil.example/callback", "http://127.0.0.1:8/callback?x",
        "http://127.0.0.1:99999/callback", "http://127.0.0.1.evil.example:8/callback", "http://127.0.0.1:8/callback#x",
    ]
    for uri in bad:
        expect_no_redirect(person().get(authorize_url(native(), redirect_uri=uri)))


@step
def a_redirect_uri_that_runs_or_hides_something_is_not_registered():
    for uri in ("javascript:alert(1)", "data:text/html,x", "vbscript:x", REDIRECT + "#fragment", "", "//app.example/", "/callback", "x y"):
        answer = answer_to_registration(person(), redirect_uri=uri)
        expect(400 <= answer.status_code < 500, f"{uri!r} was registered{told(answer)}")
        expect(Page(answer).alerts, f"nothing is said about {uri!r}{told(answer)}")


@step
def an_applications_name_is_text_and_its_page_is_a_web_page():
    app = register("confidential", name="<script>alert(1)</script>", description='"><img src=x onerror=alert(1)>')
    for url in (f"{META}/oauth2", authorize_url(app)):
        text = person().page(url).response.text
        expect("<script" not in text and "<img" not in text, f"a script got into {url}")
    answer = answer_to_registration(person(), url="javascript:alert(1)")
    if answer.status_code == 200:
        page = person().page(authorize_url(App("confidential", REDIRECT, Page(answer).output("client-id"), None)))
        links = [has.get("href", "") for tag, has in page.elements if tag == "a"]
        expect(not any(link.startswith("javascript") for link in links), f"a link runs a script: {links}")


@step
def requests_that_are_refused_lead_back_with_an_error():
    errors = [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "no.such/SCOPE"}, "invalid_scope"),
        ({"scope": f"{REPOS}:XX"}, "invalid_scope"),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request"),
        ({"code_challenge_method": "S256"}, "invalid_request"),
    ]
    for fields, error in errors:
        answer = expect_status(person().get(authorize_url(confidential(), **fields)), 303)
        expect_error_redirect(answer.headers["Location"], error)
    # RFC 6749 3.1: no parameter more than once.
    for twice in ("scope=x", "response_type=code", "code_challenge=x&code_challenge=y"):
        answer = expect_status(person().get(f"{authorize_url(confidential())}&{twice}"), 303)
        expect_error_redirect(answer.headers["Location"], "invalid_request")


@step
def signing_in_leads_nowhere_else():
    host = urlsplit(META).netloc
    bad = [
        "//evil.example", "///evil.example", "https://evil.example/", "https:evil.example", "http:/evil.example", "\\\\evil.example",
        "/\\evil.example", "\\/evil.example", "/\t/evil.example", "\t//evil.example", " //evil.example", "/\n/evil.example",
        "javascript:alert(1)", f"http://{host}@evil.example/", f"http://{host}.evil.example/", f"{META}@evil.example/",
        f"{META}.evil.example/", f"{urlsplit(META).path}//../..//evil.example", "/meta\\..\\..\\evil.example", "evil.example",
        "/meta/..//evil.example", "/meta/%2e%2e//evil.example", "/.//evil.example", "/meta/oauth2\r\nX-Injected: 1",
    ]
    for target in bad:
        url = f"{META}/login?{urlencode({'return_to': target})}"
        offered = Browser().page(url).form("/login").fields["return_to"]
        for sent in {offered, target}:
            expect_stays_here(expect_status(Browser().sign_in(return_to=sent), 303), sent)
        # Somebody who is signed in need not do it again.
        already = person().get(url)
        expect(already.status_code in (200, 303), f"it does not go on{told(already)}")
        if already.status_code == 303:
            expect_stays_here(already, target)


def expect_stays_here(answer, target):
    """Browsers take backslashes for slashes, leave out tabs and ends of lines, and shorten paths with dots."""
    location = answer.headers["Location"]
    expect("X-Injected" not in answer.headers, f"{target!r} made a header{told(answer)}")
    seen = re.sub(r"[\t\r\n]", "", location.strip()).replace("\\", "/")
    parts = urlsplit(urljoin(answer.url, seen))
    here = urlsplit(META)
    expect((parts.scheme, parts.netloc) == (here.scheme, here.netloc), f"{target!r} leads to {location!r}")
    expect(parts.path.startswith(f"{here.path}/"), f"{target!r} leads to {location!r}")


@step
def signing_in_leads_back_to_where_one_was():
    browser = Browser()
    url = authorize_url(confidential())
    sent = expect_status(browser.get(url), 303).headers["Location"]
    form = browser.page(sent).form("/login")
    # The form ends on a page, from which a browser goes on by itself.
    answer = Page(expect_status(browser.sign_in(return_to=form.fields["return_to"]), 200))
    refresh = next(has["content"] for tag, has in answer.elements if tag == "meta" and has.get("http-equiv") == "refresh")
    expect_equal("the page after", urljoin(META, refresh.removeprefix("0; url=")), url)
    consent_form(url, browser)


# Attacks: forms and sessions.


def set_cookie(browser, name, value):
    """Sets a cookie as the forge does; removes it without a value."""
    here = urlsplit(META)
    browser.session.cookies.set(name, value, path=f"{here.path}/", domain=here.hostname)


def expect_forged(answer):
    expect_no_redirect(answer, 403)
    expect("code=" not in answer.text and not Page(answer).labelled, f"it gave something{told(answer)}")


def forged_forms(url, ending, **fields):
    """Every way to send a page's form without having seen the page."""
    form = person().page(url).form(ending)
    token = form.fields["token"]
    expect(len(token) >= 32, f"the form's token is {token!r}")
    other_browsers = elsewhere().page(url).form(ending).fields["token"]
    expect(other_browsers != token, "two browsers have the same token")
    before_login = Browser().page(f"{META}/login").form("/login").fields["token"]
    yield person().submit(form, without=("token",), **fields)
    yield person().submit(form, token="", **fields)
    yield person().submit(form, token=other_browsers, **fields)
    yield person().submit(form, token=before_login, **fields)
    for origin in ("https://evil.example", "null", f"{GIT}.evil.example", "https://" + urlsplit(META).netloc + ":1"):
        yield person().submit(form, headers={"Origin": origin}, **fields)
    yield person().submit(form, headers={"Sec-Fetch-Site": "cross-site"}, **fields)
    # A browser whose cookie of the form is gone, or was set by somebody else.
    for cookie in (None, "0" * 64):
        other = Browser()
        other.session.cookies.update(elsewhere().session.cookies)
        set_cookie(other, "forge_form", cookie)
        yield other.submit(form, **fields)


@step
def consent_is_not_forged():
    for answer in forged_forms(authorize_url(confidential()), "/oauth2/authorize", decision="allow"):
        expect_forged(answer)


@step
def a_token_is_not_forged():
    for answer in forged_forms(f"{META}/oauth2", "/oauth2/personal-token", comment="forged"):
        expect_forged(answer)
    expect("forged" not in person().page(f"{META}/oauth2").text, "a token was made")


@step
def a_registration_is_not_forged():
    path = "/oauth2/client-registration"
    for answer in forged_forms(f"{META}{path}", path, name="forged", redirect_uri=REDIRECT):
        expect_forged(answer)


@step
def signing_out_is_not_forged():
    for answer in forged_forms(f"{META}/oauth2", "/logout"):
        expect_forged(answer)
    expect_status(person().get(f"{META}/oauth2"), 200)


@step
def a_device_is_not_connected_by_a_forged_form():
    begun = begin_on_a_device(public())
    url = f"{META}/oauth2/device?{urlencode({'user_code': begun['user_code']})}"
    form = person().page(url)
    action = next(urlsplit(form.action).path for form in form.forms if form.method == "post")
    expect(action.endswith("/oauth2/device"), f"the form goes to {action}")
    token = elsewhere().page(url).forms[0].fields["token"]
    for wrong in ("", token):
        answer = person().post(f"{META}/oauth2/device", {"token": wrong, "user_code": begun["user_code"], "decision": "allow"})
        expect_forged(answer)
    pending = ask_token(public(), grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    expect_error(pending, "authorization_pending")


@step
def nobody_is_signed_in_by_a_forged_form():
    browser = Browser()
    form = browser.page(f"{META}/login").form("/login")
    other = Browser().page(f"{META}/login").form("/login").fields["token"]
    for fields in ({"token": ""}, {"token": other}):
        answer = browser.sign_in(**fields)
        expect_no_redirect(answer, 403)
        expect("forge_session" not in browser.session.cookies, f"somebody is signed in{told(answer)}")
    answer = browser.submit(form, headers={"Origin": "https://evil.example"}, username=USER, password="x")
    expect_no_redirect(answer, 403)


@step
def a_wrong_password_signs_nobody_in():
    browser = Browser()
    answer = browser.sign_in("wrong")
    expect(answer.status_code in (400, 401, 403), f"it went well{told(answer)}")
    expect(Page(answer).alerts, f"nothing is said about it{told(answer)}")
    expect("forge_session" not in browser.session.cookies, "there is a session")


@step
def a_session_is_for_this_browser_and_ends_with_signing_out():
    browser = Browser()
    set_cookie(browser, "forge_session", "a" * 64)
    answer = expect_status(browser.sign_in(), 303)
    cookie = next(text for text in answer.headers["Set-Cookie"].split(", ") if text.startswith("forge_session="))
    expect("a" * 64 not in cookie, "the session was chosen by somebody else")
    for word in ("HttpOnly", "SameSite=Lax"):
        expect(word.lower() in cookie.lower(), f"{word} is not in {cookie}")
    kept = Browser()
    kept.session.cookies.update(browser.session.cookies)
    expect_status(kept.get(f"{META}/oauth2"), 200)
    form = browser.page(f"{META}/oauth2").form("/logout")
    expect_status(browser.submit(form), 303)
    for gone in (browser, kept):
        answer = expect_status(gone.get(f"{META}/oauth2"), 303)
        expect("/login" in answer.headers["Location"], f"it leads elsewhere{told(answer)}")


@step
def nobody_sees_a_page_without_signing_in():
    for path in ("oauth2", "oauth2/client-registration", "oauth2/device?user_code=BBBB-BBBB"):
        answer = expect_status(Browser().get(f"{META}/{path}"), 303)
        expect("/login" in answer.headers["Location"], f"it leads elsewhere{told(answer)}")
    for path in ("oauth2/personal-token", "oauth2/client-registration", "oauth2/device"):
        answer = Browser().post(f"{META}/{path}", {"token": "x"})
        expect(answer.status_code in (303, 401, 403), f"it went well{told(answer)}")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = Browser().get(f"{META}/oauth2", headers=headers)
    expect(answer.status_code != 200, f"a token opens a page for people{told(answer)}")


@step
def no_page_is_shown_in_a_frame_or_runs_a_script():
    form = person().page(f"{META}/oauth2").form("/oauth2/personal-token")
    begun = begin_on_a_device(public())
    pages = {
        "login": Browser().get(f"{META}/login"),
        "wrong password": Browser().sign_in("wrong"),
        "account": person().get(f"{META}/oauth2"),
        "secret": person().submit(form, comment="a page", everything="on"),
        "bad token": person().submit(form, days="x"),
        "forged": person().submit(form, token="x"),
        "registration": person().get(f"{META}/oauth2/client-registration"),
        "bad registration": answer_to_registration(person(), redirect_uri="javascript:x"),
        "registered": answer_to_registration(person()),
        "consent": person().get(authorize_url(confidential())),
        "bad redirect": person().get(authorize_url(confidential(), redirect_uri="https://evil.example/")),
        "older consent": person().get(legacy_url(legacy())),
        "device": person().get(f"{META}/oauth2/device"),
        "device's consent": person().get(f"{META}/oauth2/device?{urlencode({'user_code': begun['user_code']})}"),
        "device's message": person().get(f"{META}/oauth2/device?user_code=BBBB-BBBB"),
        "connected": person().submit(device_form(begun["user_code"]), decision="allow"),
    }
    for name, answer in pages.items():
        expect_guarded(name, answer)


@step
def a_form_leads_to_the_application_and_nowhere_else():
    # How a policy calls them; it has no word for the host of the third.
    targets = {
        "https://app.example:8443/callback": "https://app.example:8443",
        "http://127.0.0.1/callback": "http://127.0.0.1",
        "http://[::1]/callback": "http:",
        "org.example.app:/callback": "org.example.app:",
    }
    for uri, target in targets.items():
        answer = person().get(authorize_url(register("confidential", uri)))
        policy = expect_status(answer, 200).headers["Content-Security-Policy"]
        part = next(part for part in policy.split(";") if part.split()[0] == "form-action")
        expect_equal(f"form-action for {uri}", part.split()[1:], ["'self'", target])


def expect_guarded(name, answer):
    why = f"on the page {name!r}{told(answer)}"
    headers = answer.headers
    expect(headers.get("Content-Type", "").startswith("text/html"), f"no page {why}")
    expect_equal(f"X-Frame-Options on {name!r}", headers.get("X-Frame-Options"), "DENY")
    expect_equal(f"X-Content-Type-Options on {name!r}", headers.get("X-Content-Type-Options"), "nosniff")
    expect("no-store" in headers.get("Cache-Control", ""), f"caches may keep it: {why}")
    expect(headers.get("Referrer-Policy") in ("no-referrer", "same-origin", "strict-origin"), f"others learn the address: {why}")
    policy = dict(part.strip().partition(" ")[::2] for part in headers.get("Content-Security-Policy", "").split(";"))
    expect_equal(f"frame-ancestors on {name!r}", policy.get("frame-ancestors"), "'none'")
    expect_equal(f"scripts on {name!r}", policy.get("script-src", policy.get("default-src")), "'none'")
    expect_equal(f"base-uri on {name!r}", policy.get("base-uri"), "'none'")
    expect("form-action" in policy and "*" not in policy["form-action"], f"forms go anywhere: {why}")
    expect("unsafe" not in " ".join(policy.values()), f"the policy lets styles or scripts in: {why}")
    has_script = any(tag == "script" or any(key.startswith("on") for key in has) for tag, has in Page(answer).elements)
    expect(not has_script, f"a script is {why}")


run()
