"""What the clients share: the forge that is tested, a browser without scripts, and a way to run steps.

The forge is named by the environment: FORGE_GIT_URL, FORGE_META_URL, FORGE_USER, FORGE_PASSWORD, FORGE_TOKEN.
"""

import os
import re
import sys
import time
import traceback
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

GIT = os.environ["FORGE_GIT_URL"]
META = os.environ["FORGE_META_URL"]
USER = os.environ["FORGE_USER"]
PASSWORD = os.environ["FORGE_PASSWORD"]
TOKEN = os.environ["FORGE_TOKEN"]

# Nothing of this machine's configuration may stand between a client and the forge.
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
os.environ["NO_PROXY"] = "*"

PATIENCE = 60


class Failed(Exception):
    """Something is not as it should be."""


def expect(is_so, message):
    if not is_so:
        raise Failed(message)


def expect_equal(what, found, wanted):
    expect(found == wanted, f"{what} is {found!r}, not {wanted!r}")


def told(response):
    """A request and its answer, for a person."""
    request = response.request
    body = request.body
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    asked = [f"{request.method} {request.url}"]
    asked += [f"{name}: {request.headers[name]}" for name in ("Authorization", "Cookie", "Origin") if name in request.headers]
    asked += [body] if body else []
    said = [f"{response.status_code} {response.reason}"]
    said += [f"{name}: {value}" for name, value in response.headers.items()]
    said += [re.sub("<style>.*</style>", "", response.text, flags=re.DOTALL)[:1500]]
    return "\n".join(["", *(f"  > {line}" for line in asked), *(f"  < {line}" for text in said for line in text.splitlines())])


def expect_status(response, wanted):
    expect(response.status_code == wanted, f"the status is {response.status_code}, not {wanted}{told(response)}")
    return response


class Form:
    """A form: where it goes, what it says unless something else is chosen, and what can be chosen."""

    def __init__(self, method, action):
        self.method = method
        self.action = action
        self.fields = {}
        self.choices = {}


class Page(HTMLParser):
    """What is read from a page: forms, outputs by what labels them, alerts, and all of its text."""

    def __init__(self, response):
        super().__init__()
        self.response = response
        self.forms = []
        self.elements = []
        self.labelled = {}
        self.alerts = []
        self.text = ""
        self._reading = None
        self._select = None
        self.feed(response.text)

    def handle_starttag(self, tag, attributes):
        has = dict(attributes)
        self.elements.append((tag, has))
        form = self.forms[-1] if self.forms else None
        if tag == "form":
            self.forms.append(Form(has.get("method", "get"), urljoin(self.response.url, has.get("action", ""))))
        elif tag == "input" and has.get("type") == "checkbox" and "checked" not in has:
            pass  # A browser sends nothing for it.
        elif tag == "input" and form:
            form.fields[has["name"]] = has.get("value", "")
        elif tag == "select" and form:
            self._select = has["name"]
            form.choices[self._select] = []
        elif tag == "option" and self._select:
            form.choices[self._select].append(has["value"])
            if "selected" in has or self._select not in form.fields:
                form.fields[self._select] = has["value"]
        elif tag == "output":
            self._reading = has.get("aria-labelledby", "")
            self.labelled[self._reading] = ""
        elif has.get("role") == "alert":
            self._reading = "alert"
            self.alerts.append("")

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None
        if tag in ("output", "p"):
            self._reading = None

    def handle_data(self, data):
        self.text += data
        if self._reading == "alert":
            self.alerts[-1] += data
        elif self._reading is not None:
            self.labelled[self._reading] += data.strip()

    def form(self, ending):
        """The form that goes to an address whose path ends so."""
        for form in self.forms:
            if urlsplit(form.action).path.endswith(ending):
                return form
        raise Failed(f"no form goes to {ending!r}{told(self.response)}")

    def output(self, label=None):
        """The output that is labelled so; the only one, without a label."""
        if label is None and len(self.labelled) == 1:
            return next(iter(self.labelled.values()))
        expect(label in self.labelled, f"there is no output {label!r} but {list(self.labelled)}{told(self.response)}")
        return self.labelled[label]


class Browser:
    """A browser without scripts that follows no redirect unless told to."""

    def __init__(self):
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, url, **options):
        return self.session.get(urljoin(META + "/", url), allow_redirects=False, timeout=PATIENCE, **options)

    def post(self, url, fields, headers=None):
        # Even a form without fields says that it is one.
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.session.post(urljoin(META + "/", url), data=fields, headers=headers, allow_redirects=False, timeout=PATIENCE)

    def page(self, url, status=200):
        return Page(expect_status(self.get(url), status))

    def submit(self, form, headers=None, without=(), **fields):
        """Sends a form with other values in some of its fields, and without some of them."""
        sent = {**form.fields, **fields}
        return self.post(form.action, {name: value for name, value in sent.items() if name not in without}, headers)

    def sign_in(self, password=PASSWORD, **fields):
        form = self.page(f"{META}/login").form("/login")
        return self.submit(form, username=USER, password=password, **fields)


def a_signed_in_browser():
    browser = Browser()
    expect_status(browser.sign_in(), 303)
    return browser


def query_of(location):
    """The parameters of an address, each of which may be there once."""
    pairs = parse_qs(urlsplit(location).query, keep_blank_values=True)
    for name, values in pairs.items():
        expect(len(values) == 1, f"{name} is in {location} more than once")
    return {name: values[0] for name, values in pairs.items()}


def ask_api(url, token, scheme="Bearer"):
    """Asks with a token."""
    session = requests.Session()
    session.trust_env = False
    headers = {"Authorization": f"{scheme} {token}"} if token else {}
    return session.get(url, headers=headers, timeout=PATIENCE)


# What of the APIs tells which scope.
PROBES = {
    "git.sr.ht/REPOSITORIES": f"{GIT}/api/repos",
    "meta.sr.ht/PROFILE": f"{META}/api/user/profile",
    "meta.sr.ht/SSH_KEYS": f"{META}/api/user/ssh-keys",
}


def expect_scopes(token, *names):
    """The token is good on both APIs, with either word before it, for these scopes and no others."""
    for scheme in ("Bearer", "token"):
        expect_status(ask_api(f"{GIT}/api/user", token, scheme), 200)
        for name, url in PROBES.items():
            expect_status(ask_api(url, token, scheme), 200 if name in names else 403)


def expect_dead(token):
    """The token is good for nothing."""
    for url in (f"{GIT}/api/user", *PROBES.values()):
        answer = expect_status(ask_api(url, token), 401)
        expect(answer.json().get("errors"), f"no errors are told{told(answer)}")


STEPS = []


def step(function):
    """Marks a function as a step: its name is what it shows."""
    STEPS.append(function)
    return function


def run(rounds=("",), prepare=None, explain=None):
    """Runs the steps, once for each round, and ends at the first that fails.

    Words on the command line choose the steps whose names have them all; with --go-on, the others are run nevertheless.
    """
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    failed = []
    begun = time.monotonic()
    for one in rounds:
        if prepare:
            prepare(one)
        for function in STEPS:
            name = f"{function.__name__.replace('_', ' ')} {one}".strip()
            if not all(word in name for word in words):
                continue
            try:
                function()
            except Exception as error:
                failed.append(name)
                say_failure(name, error, explain)
                if "--go-on" not in sys.argv:
                    sys.exit(f"failed: {name}")
            else:
                print(f"ok      {name}", flush=True)
    print(f"{time.monotonic() - begun:.1f} s", flush=True)
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


def say_failure(name, error, explain):
    print(f"FAILED  {name}", flush=True)
    # Where it happened, in these files; what it is, in full.
    for frame in traceback.extract_tb(error.__traceback__):
        if os.path.dirname(frame.filename) == os.path.dirname(__file__) and frame.name != "run":
            print(f"  {os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}", flush=True)
    print(f"  {type(error).__name__}: {error}", flush=True)
    if explain:
        explain()
