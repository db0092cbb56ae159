//! Keys as GnuPG writes them. `fixtures/make.sh` made them, with fixed dates.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgp::composed::{
    ArmorOptions, EncryptionCaps, KeyType, SecretKeyParamsBuilder, SubkeyParamsBuilder,
};
use pgp::packet::{Packet, PacketParser, PacketTrait as _};
use pgp::types::KeyVersion;
use proptest::prelude::*;
use rand::rngs::OsRng;

use super::super::public::{MAX_TEXT, PublicPgpKey};
use crate::clock::Timestamp;
use crate::{Error, Result};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name, ".asc"))
    };
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn parse_at(text: &str, now: &str) -> Result<PublicPgpKey> {
    PublicPgpKey::parse(text, "pgp-key", at(now))
}

fn parse(text: &str) -> PublicPgpKey {
    parse_at(text, "2024-01-01T00:00:00Z").expect("a good key")
}

fn reason(outcome: Result<PublicPgpKey>) -> String {
    match outcome {
        Err(Error::Invalid(faults)) => {
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].field, Some("pgp-key"));
            faults[0].reason.clone()
        }
        other => panic!("{other:?}"),
    }
}

fn refused(text: &str, why: &str) {
    let reason = reason(parse_at(text, "2024-01-01T00:00:00Z"));
    assert!(reason.contains(why), "{reason}");
}

#[test]
fn keys_of_both_common_kinds_are_read() {
    for (text, fingerprint) in [
        (
            fixture!("rsa2048"),
            "69CE1895AB1DFF1B4EF0A725C4EA45B1DE2FF51F",
        ),
        (
            fixture!("ed25519"),
            "D7EC572959D9D6ED9CA44FA0B1B577374ABA3569",
        ),
    ] {
        let key = parse(text);
        assert_eq!(key.text, text);
        assert_eq!(key.fingerprint.to_string(), fingerprint);
        assert_eq!(key.email.as_deref(), Some("alice@example.org"));
        assert_eq!(key.expiration, None);
    }
}

#[test]
fn the_end_is_that_of_the_key_that_is_encrypted_to() {
    let key = parse(fixture!("expiring"));
    assert_eq!(key.expiration, Some(at("2030-01-01T00:00:00Z")));
    let late = parse_at(fixture!("expiring"), "2030-01-01T00:00:00Z");
    assert!(reason(late).contains("no key in force that can be encrypted to"));
}

#[test]
fn a_key_that_ends_whole_takes_its_subkeys_with_it() {
    let text = fixture!("expired");
    refused(text, "has expired");
    let then = parse_at(text, "2020-06-01T00:00:00Z").expect("it was good");
    assert_eq!(then.expiration, Some(at("2021-01-01T00:00:00Z")));
    refused(
        fixture!("expired_subkey"),
        "no key in force that can be encrypted to",
    );
}

#[test]
fn a_key_is_not_taken_before_it_was_made() {
    let early = parse_at(fixture!("ed25519"), "2022-12-31T23:59:59Z");
    assert!(reason(early).contains("in the future"));
}

/// What GnuPG does not make yet: a key of RFC 9580's own version.
fn of_version_6(can_encrypt: bool) -> String {
    let made = pgp::types::Timestamp::from_secs(1_672_531_200);
    let mut key = SecretKeyParamsBuilder::default();
    key.version(KeyVersion::V6)
        .key_type(KeyType::Ed25519)
        .created_at(made)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("Ada <ada@example.org>".to_owned());
    if can_encrypt {
        let mut subkey = SubkeyParamsBuilder::default();
        subkey
            .version(KeyVersion::V6)
            .key_type(KeyType::X25519)
            .created_at(made)
            .can_encrypt(EncryptionCaps::All);
        key.subkey(subkey.build().expect("a subkey"));
    }
    let key = key.build().expect("a key").generate(OsRng).expect("a key");
    let public = key.to_public_key();
    public
        .to_armored_string(ArmorOptions::default())
        .expect("text")
}

#[test]
fn keys_of_version_6_are_read_with_their_longer_fingerprints() {
    let text = of_version_6(true);
    let key = PublicPgpKey::parse(&text, "pgp-key", a_moment_from_now()).expect("a good key");
    assert_eq!(key.fingerprint.to_string().len(), 64);
    assert_eq!(key.email.as_deref(), Some("ada@example.org"));
    let sign_only = PublicPgpKey::parse(&of_version_6(false), "pgp-key", a_moment_from_now());
    assert!(reason(sign_only).contains("no key in force that can be encrypted to"));
}

/// Signatures are dated by the machine's clock, whatever the key says.
#[expect(clippy::disallowed_methods, reason = "what signs has no clock of ours")]
fn a_moment_from_now() -> Timestamp {
    chrono::Utc::now() + chrono::TimeDelta::minutes(1)
}

#[test]
fn the_address_is_that_of_the_first_user_id_that_has_one() {
    let key = parse(fixture!("several"));
    assert_eq!(key.email.as_deref(), Some("frank@work.example.org"));
    let key = parse(fixture!("revoked_uid"));
    assert_eq!(key.email.as_deref(), Some("frank@example.org"));
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    refused(fixture!("revoked"), "is revoked");
    refused(fixture!("secret"), "is a private key");
    refused(
        fixture!("sign_only"),
        "no key in force that can be encrypted to",
    );
    let two = [fixture!("ed25519"), fixture!("rsa2048")].concat();
    refused(&two, "must hold one key");
    refused("", "is required");
    refused(" \n", "is required");
    refused("hello", "is not an armored PGP key");
    refused(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "is not",
    );
    refused(
        &fixture!("ed25519").replace("PUBLIC KEY BLOCK", "MESSAGE"),
        "is not an armored",
    );
    refused(
        &fixture!("ed25519").replacen('\n', "\n\0", 1),
        "control characters",
    );
    refused(&"x".repeat(MAX_TEXT + 1), "32768");
}

/// A private key does not pass because its armor says otherwise.
#[test]
fn a_private_key_in_the_armor_of_a_public_one_is_refused() {
    let text = fixture!("secret").replace("PRIVATE KEY BLOCK", "PUBLIC KEY BLOCK");
    refused(&text, "is a private key");
}

/// Every byte of the packets counts: for a key, a user id, or a signature on either.
#[test]
fn a_key_with_another_byte_is_refused_or_the_same() {
    let text = fixture!("ed25519");
    let bytes = packets(text);
    let good = parse(text);
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x01;
        let armor = armored(&bytes);
        if let Ok(key) = parse_at(&armor, "2024-01-01T00:00:00Z") {
            // What is not signed may differ: where a signature says who made it.
            assert_eq!(key.fingerprint, good.fingerprint, "byte {at}");
            assert_eq!(key.email, good.email, "byte {at}");
        }
    }
}

/// What the armor of a key wraps.
fn packets(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with(['-', '=']));
    STANDARD.decode(lines.collect::<String>()).expect("base64")
}

fn armored(bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64"))
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}\n-----END PGP PUBLIC KEY BLOCK-----\n")
}

/// Nothing that fits the limit takes long, and what does not fit is not looked at.
#[test]
fn garbage_and_bombs_end_soon() {
    let limit = MAX_TEXT - 128;
    let mut noise = 1_u32;
    let mut random = |len: usize| -> Vec<u8> {
        let next = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(len).collect()
    };
    let header = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n";
    let bombs = [
        random(1 << 20)
            .iter()
            .map(|byte| char::from(byte % 95 + 32))
            .collect(),
        armored(&random(limit / 4 * 3 - 1024)),
        // A packet that says it has four gigabytes, and lengths within lengths.
        armored(&[0xc6, 0xff, 0xff, 0xff, 0xff, 0xff, 0x04]),
        armored(&[0xc2; 20_000]),
        armored(&[[0xcd, 0x00]; 10_000].concat()),
        armored(&[[0xd1, 0x02, 0xff, 0xff]; 5_000].concat()),
        format!("{header}{}", "Comment: x\n".repeat(limit / 11 - 8)),
        format!("{header}{}", "\n".repeat(limit - 64)),
        "-".repeat(limit),
        format!("{header}\n{}", "A".repeat(limit - 64)),
        format!("{header}\n{}", "=".repeat(limit - 64)),
        header.repeat(limit / header.len()),
    ];
    for bomb in bombs {
        let begun = Instant::now();
        assert!(parse_at(&bomb, "2024-01-01T00:00:00Z").is_err());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}: {bomb:.40}");
    }
}

/// Anybody can add to a key what looks like its own signature, and each takes arithmetic to tell.
#[test]
fn signatures_without_end_are_refused_soon() {
    let mut out = Vec::new();
    for packet in PacketParser::new(packets(fixture!("rsa2048")).as_slice()) {
        let packet = packet.expect("a packet");
        match &packet {
            Packet::PublicKey(key) => key.to_writer_with_header(&mut out).expect("memory"),
            Packet::UserId(id) => id.to_writer_with_header(&mut out).expect("memory"),
            Packet::Signature(one) => {
                let mut forged = Vec::new();
                one.to_writer_with_header(&mut forged).expect("memory");
                *forged.last_mut().expect("a byte") ^= 1;
                while out.len() < 23_000 {
                    out.extend_from_slice(&forged);
                }
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let begun = Instant::now();
    refused(&armored(&out), "has too many signatures");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

proptest! {
    #[test]
    fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = parse_at(&armored(&bytes), "2024-01-01T00:00:00Z");
    }

    #[test]
    fn no_change_of_a_key_panics_the_reader(at in 0_usize..500, with in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = packets(fixture!("rsa2048"));
        let at = at % bytes.len();
        bytes[at] = with;
        if cut {
            bytes.truncate(at);
        }
        let _ = parse_at(&armored(&bytes), "2024-01-01T00:00:00Z");
    }
}
