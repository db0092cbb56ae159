"""The pages as people meet them: in Chromium, on a wide and on a narrow screen, in light and in dark colours.

Every page that is passed is looked at by axe-core, and a picture of it is kept in target/screenshots.
"""

import atexit
import os
import shutil
import tempfile
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from forge import META, PASSWORD, PATIENCE, USER, Failed, expect, expect_dead, expect_equal, expect_scopes, expect_status, query_of, run, step

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
PICTURES = Path(__file__).resolve().parents[2] / "target" / "screenshots"
REPOS = "git.sr.ht/REPOSITORIES"
PROFILE = "meta.sr.ht/PROFILE"
KEYS = "meta.sr.ht/SSH_KEYS"
ROUNDS = ("at 1280 px", "at 320 px")
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


# The browser.


class Screen:
    """How wide it is, the browser that shows something on it, and whether no other comes after it."""

    width = 0
    is_last = False
    driver = None


def browser():
    return Screen.driver


def start_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    profile = tempfile.TemporaryDirectory()
    arguments = [
        "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--no-first-run", "--lang=en", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={profile.name}",
    ]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Chromium's sandbox refuses root.
    if os.getuid() == 0:
        arguments.append("--no-sandbox")
    for argument in arguments:
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    atexit.register(profile.cleanup)
    atexit.register(driver.quit)
    return driver


def begin(round):
    """A new browser, in which nobody is signed in."""
    if Screen.driver:
        Screen.driver.quit()
    for each in (application, a_public_application):
        each.cache_clear()
    Screen.driver = start_browser()
    Screen.width = int(round.split()[1])
    Screen.is_last = round == ROUNDS[-1]
    show("light")


def show(scheme):
    size = {"width": Screen.width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser().execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser().execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def look(name):
    """The page fits, axe-core finds nothing grave, and there are pictures of it."""
    for scheme in ("light", "dark"):
        show(scheme)
        keep_picture(f"{name}-{Screen.width}-{scheme}")
        is_dark = "return matchMedia('(prefers-color-scheme: dark)').matches"
        expect_equal("dark", browser().execute_script(is_dark), scheme == "dark")
        root = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        needed, there = browser().execute_script(root)
        expect_equal("the width", there, Screen.width)
        expect(needed <= there, f"{name} is scrolled sideways: it needs {needed} of {there} px")
        expect_accessible(f"{name}, {scheme}, {Screen.width} px")
    show("light")


def expect_accessible(name):
    browser().execute_script(AXE)
    run_axe = """
        const [rules, done] = arguments
        axe.run(document, {runOnly: rules}).then(done, error => done({error: String(error)}))
    """
    found = browser().execute_async_script(run_axe, RULES)
    expect("error" not in found, f"axe-core failed: {found}")
    expect(found["passes"], f"axe-core looked at nothing of {name}")
    grave = [
        f"{fault['impact']}: {fault['help']}\n    {node['html']}\n    {node['failureSummary']}"
        for fault in found["violations"] if fault["impact"] in ("serious", "critical") for node in fault["nodes"]
    ]
    expect(not grave, f"{name}:\n" + "\n".join(grave))


def keep_picture(name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = browser().execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    (PICTURES / f"{name}.png").write_bytes(b64decode(picture["data"]))


def explain():
    keep_picture("failed")
    print(f"  at {browser().current_url}\n  {text()}", flush=True)


def text():
    return browser().find_element(By.TAG_NAME, "body").text


def find(css):
    found = browser().find_elements(By.CSS_SELECTOR, css)
    expect(len(found) == 1, f"there are {len(found)} of {css!r}")
    return found[0]


def field(name):
    return find(f"[name='{name}']:not([type=hidden])")


def button(words):
    """The button with these words, or that is labelled so for those who do not see."""
    found = [one for one in browser().find_elements(By.TAG_NAME, "button") if one.accessible_name == words]
    expect(len(found) == 1, f"there are {len(found)} buttons {words!r}")
    return found[0]


def write(name, value):
    one = field(name)
    one.clear()
    one.send_keys(value)


def choose(name, value):
    Select(field(name)).select_by_value(value)


def leave(act):
    """Does something after which there is another page."""
    browser().execute_script("window.isBefore = true")
    act()
    # Between two pages there is nothing to ask.
    waiting = WebDriverWait(browser(), PATIENCE, ignored_exceptions=[WebDriverException])
    is_after = "return !window.isBefore && document.readyState === 'complete'"
    waiting.until(lambda driver: driver.execute_script(is_after), "there is no other page")


def press(words):
    leave(button(words).click)


def follow(words):
    leave(browser().find_element(By.LINK_TEXT, words).click)


def open_page(path):
    browser().get(f"{META}/{path}")


def expect_page(path):
    found = urlsplit(browser().current_url).path
    expect_equal("the page", found, urlsplit(META).path + path)


def expect_title(words):
    expect_equal("the title", browser().title, words)
    expect_equal("the heading", find("h1").text, words)


def alert():
    return find("[role=alert]").text


def output(label):
    """What a page gives under a heading."""
    return find(f"output[aria-labelledby='{label}']").text


# Keys.


def keys(*pressed):
    ActionChains(browser()).send_keys(*pressed).perform()


def tab_to(element):
    """Presses Tab until the element has the focus, which is to be seen."""
    for _ in range(60):
        keys(Keys.TAB)
        if browser().switch_to.active_element == element:
            style = "const style = getComputedStyle(document.activeElement); return [style.outlineStyle, style.outlineWidth]"
            line, width = browser().execute_script(style)
            expect(line != "none" and width != "0px", "nobody sees what has the focus")
            return
    raise Failed("Tab does not reach it")


# The application.


class Received:
    """What the application was told by its users' browsers."""

    queries = []


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if urlsplit(self.path).path == "/callback":
            Received.queries.append(query_of(self.path))
        body = b"<!DOCTYPE html><html lang=en><title>The application</title><h1>The application</h1>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@cache
def callback():
    """Where the application waits for its users."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/callback"


def register(name, kind, redirect_uri):
    open_page("oauth2")
    follow("Register an application")
    expect_title("Register an application")
    write("name", name)
    write("description", "It helps with repositories.")
    write("url", "https://app.example/about")
    write("redirect_uri", redirect_uri)
    choose("kind", kind)


@cache
def application():
    """One with a secret."""
    register("Helper", "confidential", callback())
    look("register")
    press("Register")
    look("registered")
    return output("client-id"), output("client-secret")


@cache
def a_public_application():
    """A program that listens on whatever port is free."""
    register("Little helper", "public", "http://127.0.0.1/callback")
    press("Register")
    expect(not browser().find_elements(By.CSS_SELECTOR, "output[aria-labelledby='client-secret']"), "there is a secret")
    return output("client-id"), None


def authorize(app, scope, redirect_uri=None):
    """Opens the page for consent; the state and the verifier that the application keeps."""
    state, verifier = generate_token(20), generate_token(48)
    query = {
        "response_type": "code", "client_id": app[0], "redirect_uri": redirect_uri or callback(), "scope": scope, "state": state,
        "code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256",
    }
    open_page(f"oauth2/authorize?{urlencode(query)}")
    return state, verifier


def received(state):
    """What the browser brought to the application."""
    expect(browser().current_url.startswith(callback() + "?"), f"the browser is at {browser().current_url}")
    expect_equal("the heading", find("h1").text, "The application")
    query = Received.queries.pop()
    expect_equal("state", query["state"], state)
    expect_equal("iss", query["iss"], META)
    return query


def tokens(app, **fields):
    id, secret = app
    if not secret:
        fields["client_id"] = id
    auth = (id, secret) if secret else None
    return requests.post(f"{META}/oauth2/access-token", data=fields, auth=auth, timeout=PATIENCE)


def exchange(app, query, verifier):
    fields = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": callback(), "code_verifier": verifier}
    return expect_status(tokens(app, **fields), 200).json()["access_token"]


# What people do.


def sign_in(password=PASSWORD):
    write("username", USER)
    write("password", password)
    press("Sign in")


@step
def a_wrong_password_is_told():
    open_page("oauth2")
    expect_page("/login")
    expect_title("Sign in")
    look("login")
    sign_in("wrong")
    expect(alert(), "nothing is said")
    expect_equal("the name", field("username").get_attribute("value"), USER)
    look("login-wrong-password")


@step
def somebody_signs_in_with_the_keyboard_alone():
    open_page("oauth2")
    name = field("username")
    if browser().switch_to.active_element != name:
        tab_to(name)
    keys(USER)
    tab_to(field("password"))
    keys(PASSWORD)
    tab_to(button("Sign in"))
    leave(lambda: keys(Keys.ENTER))
    expect_page("/oauth2")
    expect_title("Tokens and applications")
    look("account")


@step
def an_application_is_registered():
    id, secret = application()
    expect(id and secret, "there is nothing to copy")
    follow("Back to tokens and applications")
    expect(id in text() and "Helper" in text(), "it is not listed")
    expect(secret not in browser().page_source, "the secret is shown again")


@step
def an_application_that_cannot_be_is_told_why():
    register("Helper", "confidential", "javascript:alert(1)")
    press("Register")
    expect(alert(), "nothing is said")
    expect_equal("the name", field("name").get_attribute("value"), "Helper")
    look("register-refused")


@step
def somebody_consents_but_for_one_scope():
    state, verifier = authorize(application(), f"{REPOS}:RW {PROFILE}:RO")
    expect_title("Let Helper act for you?")
    look("consent")
    choose(PROFILE, "")
    press("Allow")
    expect_scopes(exchange(application(), received(state), verifier), REPOS)


@step
def somebody_consents_with_the_keyboard_alone():
    state, verifier = authorize(a_public_application(), f"{REPOS}:RW {PROFILE}:RO {KEYS}:RW")
    tab_to(field(KEYS))
    keys(Keys.END)
    expect_equal("what is chosen", Select(field(KEYS)).first_selected_option.get_attribute("value"), "")
    tab_to(button("Allow"))
    leave(lambda: keys(Keys.ENTER))
    expect_scopes(exchange(a_public_application(), received(state), verifier), REPOS, PROFILE)


@step
def somebody_refuses():
    state, _ = authorize(application(), f"{REPOS}:RW")
    press("Refuse")
    query = received(state)
    expect_equal("error", query["error"], "access_denied")
    expect("code" not in query, "there is a code")


@step
def a_browser_goes_to_every_name_of_its_own_machine():
    # Nobody listens there: it is enough that the browser sets out, and has nothing against it.
    for registered, named in (
        ("http://[::1]/callback", "http://[::1]:9/callback"), ("http://localhost:9/callback", "http://localhost:9/callback"),
    ):
        register("Local helper", "public", registered)
        press("Register")
        app = output("client-id"), None
        authorize(app, f"{PROFILE}:RO", named)
        button("Allow").click()
        deadline = time.monotonic() + 10
        while not browser().current_url.startswith(named + "?"):
            expect(time.monotonic() < deadline, f"the browser does not go to {named}: {complaints()}")
            time.sleep(0.05)
        open_page("oauth2")
        press(f"Revoke application Local helper {app[0]}")


def complaints():
    """What the page's policy has kept the browser from."""
    said = [entry["message"] for entry in browser().get_log("browser")]
    return [message for message in said if "Content Security Policy" in message]


@step
def somebody_takes_a_consent_back():
    open_page("oauth2")
    look("account-with-authorizations")
    listed = browser().find_elements(By.CSS_SELECTOR, "form[action*='/oauth2/authorization/'] button")
    expect(listed, "nothing is listed")
    for _ in listed:
        leave(browser().find_element(By.CSS_SELECTOR, "form[action*='/oauth2/authorization/'] button").click)
    expect(not browser().find_elements(By.CSS_SELECTOR, "form[action*='/oauth2/authorization/']"), "one is left")


@step
def a_redirect_to_elsewhere_is_told():
    query = {"response_type": "code", "client_id": application()[0], "redirect_uri": "https://evil.example/", "scope": PROFILE}
    open_page(f"oauth2/authorize?{urlencode(query)}")
    expect_page("/oauth2/authorize")
    look("authorize-refused")


@step
def a_token_is_made_and_revoked():
    open_page("oauth2")
    comment = f"For a script {Screen.width}"
    write("comment", comment)
    write("days", "30")
    choose(PROFILE, "RO")
    choose(KEYS, "RW")
    press("Make the token")
    look("token")
    token = find("output").text
    expect_scopes(token, PROFILE, KEYS)
    follow("Back to tokens and applications")
    expect(comment in text(), "it is not listed")
    look("account-with-tokens")
    item = next(one for one in browser().find_elements(By.TAG_NAME, "li") if comment in one.text)
    leave(item.find_element(By.TAG_NAME, "button").click)
    expect(comment not in text(), "it is still listed")
    expect_dead(token)


@step
def a_token_that_cannot_be_is_told_why():
    open_page("oauth2")
    browser().execute_script("arguments[0].removeAttribute('max')", field("days"))
    write("days", "99999999")
    press("Make the token")
    expect(alert(), "nothing is said")
    look("account-refused")


@step
def a_program_sends_its_user_to_make_a_token():
    open_page(f"oauth2/personal-token?{urlencode({'grants': f'{PROFILE}:RO {KEYS}:RW'})}")
    expect_title("Make a personal access token")
    look("token-asked-for")
    for name, value in ((PROFILE, "RO"), (KEYS, "RW"), (REPOS, "")):
        expect_equal(name, Select(field(name)).first_selected_option.get_attribute("value"), value)
    press("Make the token")
    expect_scopes(find("output").text, PROFILE, KEYS)


@step
def a_program_that_asks_for_what_there_is_not_is_told():
    open_page("oauth2/personal-token?grants=no-such-scope")
    expect_title("Make a personal access token")
    expect("no-such-scope" in alert(), alert())
    look("token-refused")


@step
def a_page_that_there_is_not_is_told():
    open_page("oauth2/no-such-page")
    expect_title("Not found")
    look("not-found")
    open_page("logout")
    expect_title("Not this way")
    look("not-this-way")


@step
def a_device_is_connected():
    app = a_public_application()
    fields = {"client_id": app[0], "scope": f"{REPOS}:RO {KEYS}:RO"}
    begun = requests.post(f"{META}/oauth2/device-authorization", data=fields, timeout=PATIENCE).json()
    browser().get(begun["verification_uri"])
    expect_title("Connect a device")
    look("device")
    write("user_code", "BBBB-BBBB")
    press("Go on")
    expect(alert(), "nothing is said")
    look("device-wrong-code")
    write("user_code", begun["user_code"].lower())
    press("Go on")
    look("device-consent")
    choose(KEYS, "")
    press("Allow")
    look("device-connected")
    answer = tokens(app, grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    expect_scopes(expect_status(answer, 200).json()["access_token"], REPOS)


@step
def who_signs_in_for_a_request_that_is_refused_gets_to_the_application():
    open_page("oauth2")
    press("Sign out")
    state, _ = authorize(application(), "no such scope")
    expect_page("/login")
    sign_in()
    WebDriverWait(browser(), PATIENCE).until(lambda it: it.current_url.startswith(callback() + "?"))
    query = received(state)
    expect_equal("error", query["error"], "invalid_scope")
    expect_equal("what the policy said", complaints(), [])


@step
def an_application_is_revoked():
    id, _ = application()
    open_page("oauth2")
    press(f"Revoke application Helper {id}")
    expect(id not in text(), "it is still listed")


@step
def somebody_signs_out():
    open_page("oauth2")
    press("Sign out")
    expect_page("/login")
    browser().back()
    expect("Make the token" not in browser().page_source, "the page before is still to be seen")
    open_page("oauth2")
    expect_page("/login")


@step
def somebody_deletes_their_account():
    open_page("oauth2")
    sign_in()
    follow("Delete your account")
    expect_title("Delete your account")
    look("deletion")
    for name, password, wrong in (("somebody", PASSWORD, "username"), (USER, "wrong", "password")):
        write("username", name)
        write("password", password)
        press("Delete my account")
        expect(alert(), "nothing is said")
        expect_equal("what is wrong", find("[aria-invalid=true]").get_attribute("name"), wrong)
        look(f"deletion-wrong-{wrong}")
    # The next round needs them.
    if not Screen.is_last:
        return
    tab_to(field("username"))
    keys(USER)
    tab_to(field("password"))
    keys(PASSWORD)
    tab_to(button("Delete my account"))
    leave(lambda: keys(Keys.ENTER))
    expect_title("Your account is being deleted")
    look("deletion-begun")
    open_page("oauth2")
    expect_page("/login")
    sign_in()
    expect("Make the token" not in browser().page_source, "they are signed in again")


shutil.rmtree(PICTURES, ignore_errors=True)
run(rounds=ROUNDS, prepare=begin, explain=explain)
