//! Devices' questions.

use futures::future::join_all;

use super::{
    a_client, a_hash, a_user, assert_conflict, assert_not_found, at, changed, refused, some_grants,
};
use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::ClientRow;
use crate::oauth::{Client, Device, DeviceState, NewDevice, SecretHash};
use crate::store::Store;

pub(super) async fn all(store: &dyn Store) {
    a_question_is_found_by_its_user_code(store).await;
    a_question_needs_its_client(store).await;
    a_user_code_is_in_use_once(store).await;
    a_question_is_answered_once(store).await;
    a_question_that_is_moot_is_not_answered(store).await;
    one_of_many_answers(store).await;
    a_look_tells_how_it_stood_before(store).await;
    a_device_is_slowed(store).await;
    a_question_is_taken_once(store).await;
    one_of_many_takes_a_question(store).await;
    questions_that_expired_before_are_purged(store).await;
}

/// A question: its device code, its user code, and what it is.
struct Asked {
    device: SecretHash,
    user_code: SecretHash,
    asked: NewDevice,
}

impl Asked {
    fn with(&self, polled: Option<Timestamp>, interval: u32, state: DeviceState) -> Device {
        Device {
            asked: self.asked.clone(),
            polled,
            interval,
            state,
        }
    }
}

async fn ask(store: &dyn Store, client: &Client, expires: Timestamp) -> Asked {
    let question = Asked {
        device: a_hash(),
        user_code: a_hash(),
        asked: NewDevice {
            client: client.id,
            grants: some_grants(),
            expires,
        },
    };
    changed(store, async |tx| {
        let Asked {
            device,
            user_code,
            asked,
        } = &question;
        tx.insert_device(device, user_code, asked, 5).await
    })
    .await;
    question
}

async fn found(store: &dyn Store, code: &SecretHash) -> Option<(Device, Client)> {
    found_at(store, code, Timestamp::MIN_UTC).await
}

async fn found_at(
    store: &dyn Store,
    code: &SecretHash,
    now: Timestamp,
) -> Option<(Device, Client)> {
    let read = store.device_by_user_code(code, now).await;
    read.expect("a read")
}

async fn answer(store: &dyn Store, code: &SecretHash, answer: &DeviceState, now: i64) -> bool {
    changed(store, async |tx| {
        tx.answer_device(code, answer, at(now)).await
    })
    .await
}

async fn poll(store: &dyn Store, device: &SecretHash, now: i64) -> Option<Device> {
    changed(store, async |tx| tx.poll_device(device, at(now)).await).await
}

async fn take(store: &dyn Store, device: &SecretHash) -> bool {
    changed(store, async |tx| tx.take_device(device).await).await
}

async fn a_question_is_found_by_its_user_code(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let other = a_client(store, &owner).await;
    let question = ask(store, &client, at(123_456)).await;
    let others = ask(store, &other, at(-1_000_000)).await;
    for (question, client) in [(&question, client), (&others, other)] {
        let expected = question.with(None, 5, DeviceState::Pending);
        let read = found(store, &question.user_code).await;
        assert!(read == Some((expected, client)));
        assert!(found(store, &question.device).await.is_none());
    }
    let code = &question.user_code;
    for (now, expected) in [(123_455, true), (123_456, false)] {
        let read = found_at(store, code, at(now)).await;
        assert_eq!(read.is_some(), expected, "{now}");
    }
}

async fn a_question_needs_its_client(store: &dyn Store) {
    let asked = NewDevice {
        client: ClientRow(i64::MAX),
        grants: some_grants(),
        expires: at(1_000),
    };
    let error = refused(store, async |tx| {
        tx.insert_device(&a_hash(), &a_hash(), &asked, 5).await
    })
    .await;
    assert_not_found(&error);
}

async fn a_user_code_is_in_use_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    for expires in [at(1_000), at(-1_000_000)] {
        let question = ask(store, &client, expires).await;
        let again = async |device: SecretHash| {
            refused(store, async |tx| {
                tx.insert_device(&device, &question.user_code, &question.asked, 5)
                    .await
            })
            .await
        };
        assert_conflict(&again(a_hash()).await, "user_code");
        let expected = question.with(None, 5, DeviceState::Pending);
        assert_eq!(poll(store, &question.device, 1).await, Some(expected));
        assert!(take(store, &question.device).await);
        changed(store, async |tx| {
            tx.insert_device(&a_hash(), &question.user_code, &question.asked, 5)
                .await
        })
        .await;
    }
}

async fn a_question_is_answered_once(store: &dyn Store) {
    let (owner, user) = (a_user(store).await, a_user(store).await);
    let client = a_client(store, &owner).await;
    let kept = ask(store, &client, at(1_000)).await;
    let answers = [
        DeviceState::Approved(user.id, some_grants()),
        DeviceState::Approved(user.id, Grants::nothing()),
        DeviceState::Approved(user.id, Grants::everything()),
        DeviceState::Denied,
    ];
    for state in &answers {
        let question = ask(store, &client, at(1_000)).await;
        assert!(answer(store, &question.user_code, state, 999).await);
        for again in &answers {
            assert!(!answer(store, &question.user_code, again, 5).await);
        }
        let expected = question.with(None, 5, state.clone());
        let polled = poll(store, &question.device, 5).await;
        assert_eq!(polled, Some(expected));
        let read = found(store, &question.user_code).await;
        assert!(read.is_none(), "{state:?}");
    }
    let read = found(store, &kept.user_code).await;
    let expected = kept.with(None, 5, DeviceState::Pending);
    assert!(read == Some((expected, client)), "others are unchanged");
}

async fn a_question_that_is_moot_is_not_answered(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let question = ask(store, &client, at(1_000)).await;
    for now in [1_000, 1_001] {
        assert!(!answer(store, &question.user_code, &DeviceState::Denied, now).await);
    }
    assert!(!answer(store, &a_hash(), &DeviceState::Denied, 5).await);
    assert!(!answer(store, &question.device, &DeviceState::Denied, 5).await);
    let expected = question.with(None, 5, DeviceState::Pending);
    assert_eq!(poll(store, &question.device, 5).await, Some(expected));
}

async fn one_of_many_answers(store: &dyn Store) {
    let (owner, user) = (a_user(store).await, a_user(store).await);
    let client = a_client(store, &owner).await;
    let question = ask(store, &client, at(1_000)).await;
    let answers = [
        DeviceState::Denied,
        DeviceState::Approved(user.id, some_grants()),
        DeviceState::Approved(owner.id, some_grants()),
    ];
    let answered = answers.iter().cycle().take(6);
    let answered = join_all(answered.map(|state| answer(store, &question.user_code, state, 5)));
    let won = answered.await.into_iter().filter(|answered| *answered);
    assert_eq!(won.count(), 1);
}

async fn a_look_tells_how_it_stood_before(store: &dyn Store) {
    let (owner, user) = (a_user(store).await, a_user(store).await);
    let client = a_client(store, &owner).await;
    let question = ask(store, &client, at(1_000)).await;
    let kept = ask(store, &client, at(1_000)).await;
    let pending = |polled| Some(question.with(polled, 5, DeviceState::Pending));
    assert_eq!(poll(store, &question.device, 7).await, pending(None));
    assert_eq!(poll(store, &question.device, 8).await, pending(Some(at(7))));
    let read = found(store, &question.user_code)
        .await
        .map(|(read, _)| read);
    assert_eq!(read, pending(Some(at(8))));
    let state = DeviceState::Approved(user.id, some_grants());
    assert!(answer(store, &question.user_code, &state, 9).await);
    // Whether it has expired is for the caller to see.
    let expected = Some(question.with(Some(at(8)), 5, state));
    assert_eq!(poll(store, &question.device, 2_000).await, expected);
    assert_eq!(poll(store, &a_hash(), 9).await, None);
    assert_eq!(poll(store, &question.user_code, 9).await, None);
    let expected = kept.with(None, 5, DeviceState::Pending);
    assert_eq!(poll(store, &kept.device, 9).await, Some(expected));
}

async fn a_device_is_slowed(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let question = ask(store, &client, at(1_000)).await;
    let kept = ask(store, &client, at(1_000)).await;
    for interval in [10, u32::MAX] {
        changed(store, async |tx| {
            tx.slow_device(&question.device, interval).await?;
            tx.slow_device(&a_hash(), interval).await
        })
        .await;
        let (read, _) = found(store, &question.user_code).await.expect("it");
        assert_eq!(read, question.with(None, interval, DeviceState::Pending));
    }
    let (read, _) = found(store, &kept.user_code).await.expect("the other");
    assert_eq!(read, kept.with(None, 5, DeviceState::Pending));
}

async fn a_question_is_taken_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let question = ask(store, &client, at(1_000)).await;
    let kept = ask(store, &client, at(1_000)).await;
    assert!(!take(store, &question.user_code).await);
    for expected in [true, false] {
        assert_eq!(take(store, &question.device).await, expected);
    }
    assert!(found(store, &question.user_code).await.is_none());
    assert_eq!(poll(store, &question.device, 5).await, None);
    assert!(!answer(store, &question.user_code, &DeviceState::Denied, 5).await);
    assert!(found(store, &kept.user_code).await.is_some());
}

async fn one_of_many_takes_a_question(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let question = ask(store, &client, at(1_000)).await;
    let taken = join_all((0..6).map(|_| take(store, &question.device))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
}

async fn questions_that_expired_before_are_purged(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let past = |micros: i64| at(micros - 3_600_000_000);
    let mut kept = Vec::new();
    let mut questions = Vec::new();
    for expires in [past(-1), past(0), at(1_000)] {
        questions.push(ask(store, &client, expires).await);
    }
    changed(store, async |tx| tx.purge_oauth(past(0)).await).await;
    for question in &questions {
        kept.push(found(store, &question.user_code).await.is_some());
    }
    assert_eq!(kept, [false, true, true]);
}
