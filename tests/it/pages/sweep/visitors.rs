//! The browsers of the sweep, and who is signed in with them.
//!
//! Invariant: each visit is made with a fresh browser that has just seen a page; sessions that a visit ends are made anew.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use url::form_urlencoded::Serializer;

use super::things::Ask;
use crate::pages::SESSION;
use crate::support::browser::{Browser, hidden};
use crate::support::{Answer, Persona, World};

/// Whose browser asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Nobody has signed in with it.
    Nobody,
    /// Its session has expired.
    Expired,
    /// It has made its session up.
    Forged,
    /// Its user was suspended after signing in.
    Suspended,
    /// It has no session, but a token of alice's that may do everything.
    Token,
    /// Some account's.
    Stranger,
    /// The account's whose things are asked for.
    Alice,
}

pub(super) const EVERYBODY: [Who; 7] = [
    Who::Nobody,
    Who::Expired,
    Who::Forged,
    Who::Suspended,
    Who::Token,
    Who::Stranger,
    Who::Alice,
];

impl Who {
    /// The user who is signed in.
    pub(super) fn user(self) -> Option<&'static str> {
        match self {
            Self::Stranger => Some("stranger"),
            Self::Alice => Some("alice"),
            Self::Nobody | Self::Expired | Self::Forged | Self::Suspended | Self::Token => None,
        }
    }
}

/// Everybody, with the sessions that they show.
pub(super) struct Visitors<'a> {
    world: &'a World,
    sessions: BTreeMap<Who, String>,
}

impl<'a> Visitors<'a> {
    pub(super) async fn new(world: &'a World) -> Self {
        let expired = session(world, "alice").await;
        world.clock.advance(TimeDelta::days(31));
        let suspended = session(world, "reader").await;
        let reader = "reader".parse().unwrap();
        world.system().suspend(&reader, Some("spam")).await.unwrap();
        let sessions = BTreeMap::from([
            (Who::Expired, expired),
            (Who::Forged, "0123456789abcdef".repeat(4)),
            (Who::Suspended, suspended),
        ]);
        Self { world, sessions }
    }

    /// A visit of somebody who has just seen a page with a form.
    pub(super) async fn visit(&mut self, who: Who) -> Visit<'a> {
        if let Some(user) = who.user() {
            let mut visit = self.arrive(who);
            if visit.get("/oauth2").await.status != 200 {
                self.sessions.insert(who, session(self.world, user).await);
            }
        }
        let mut visit = self.arrive(who);
        let page = match who.user() {
            Some(_) => visit.get("/oauth2").await,
            None => visit.get("/login").await,
        };
        visit.token = hidden(&page, "token").expect("a page with a form");
        visit
    }

    fn arrive(&self, who: Who) -> Visit<'a> {
        let mut browser = Browser::new(self.world);
        if let Some(session) = self.sessions.get(&who) {
            browser.keep(SESSION, session);
        }
        let bearer = (who == Who::Token).then(|| {
            let token = self.world.token_of(Persona::Owner).unwrap();
            format!("Bearer {token}")
        });
        Visit {
            browser,
            bearer,
            token: String::new(),
        }
    }
}

async fn session(world: &World, user: &str) -> String {
    let browser = Browser::of(world, user).await;
    browser.cookie(SESSION).expect("a session").to_owned()
}

pub(super) struct Visit<'a> {
    browser: Browser<'a>,
    /// What it shows in the header.
    bearer: Option<String>,
    /// What the forms carry that it was given.
    token: String,
}

impl Visit<'_> {
    async fn get(&mut self, path: &str) -> Answer {
        let ask = Ask {
            method: Method::GET,
            path: path.to_owned(),
            fields: Vec::new(),
        };
        self.send(&ask, false).await
    }

    pub(super) async fn send(&mut self, ask: &Ask, with_token: bool) -> Answer {
        let mut headers = Vec::new();
        if let Some(bearer) = &self.bearer {
            headers.push((AUTHORIZATION.as_str(), bearer.as_str()));
        }
        let mut body = Serializer::new(String::new());
        if ask.method == Method::POST {
            headers.push((CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded"));
            headers.push((ORIGIN.as_str(), "https://git.example.org"));
            body.extend_pairs(&ask.fields);
            if with_token {
                body.append_pair("token", &self.token);
            }
        }
        let body = body.finish().into();
        let method = ask.method.clone();
        self.browser.send(method, &ask.path, &headers, body).await
    }
}
