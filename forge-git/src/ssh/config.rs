//! How russh is set up: algorithms, timeouts, buffers.
//!
//! Invariant: nothing is negotiated that rests on SHA-1, on CBC or on a group of 1024 bits, and clients that know it
//! get strict key exchange (CVE-2023-48795). Who may do what is not decided by a setting.

use std::borrow::Cow;
use std::time::Duration;

use forge_core::limits::SshLimits;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::Config;
use russh::{Limits, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

/// How often a silent client is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How often it may owe the answer.
const KEEPALIVES: usize = 4;
/// How long a client may take nothing of what is sent. While it answers, it may be silent for as long as it likes: a push
/// of a large repository is counted for minutes before its first byte.
const STALLED: Duration = Duration::from_secs(600);
/// How long a refusal takes, so that its length tells nothing; short, since most clients have keys to spare.
const REFUSAL: Duration = Duration::from_millis(50);
/// How much a client may send ahead, and how much of a packet.
const WINDOW: u32 = 2 << 20;
const PACKET: u32 = 32 << 10;
/// How many packets wait for a command that is slower than its client.
const QUEUE: usize = 64;

pub(super) fn of(limits: &SshLimits, keys: Vec<PrivateKey>) -> Config {
    let mut config = Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-forge")),
        methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
        auth_rejection_time: REFUSAL,
        auth_rejection_time_initial: Some(Duration::ZERO),
        // OpenSSH begins by asking without any key.
        max_auth_attempts: limits.attempts.saturating_add(1),
        keys,
        limits: Limits::new(1 << 30, 1 << 30, Duration::from_secs(60 * 60)),
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: QUEUE,
        event_buffer_size: QUEUE,
        preferred: preferred(),
        inactivity_timeout: Some(STALLED),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        ..Config::default()
    };
    config.nodelay = true;
    config
}

fn preferred() -> Preferred {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::ECDH_SHA2_NISTP256,
            kex::ECDH_SHA2_NISTP384,
            kex::DH_G16_SHA512,
            kex::DH_G14_SHA256,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        // Of host keys those that there are; of clients' keys all of these.
        key: Cow::Owned(vec![
            Algorithm::Ed25519,
            Algorithm::SkEd25519,
            ecdsa(EcdsaCurve::NistP256),
            ecdsa(EcdsaCurve::NistP384),
            ecdsa(EcdsaCurve::NistP521),
            Algorithm::SkEcdsaSha2NistP256,
            rsa(HashAlg::Sha512),
            rsa(HashAlg::Sha256),
        ]),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_128_GCM,
            cipher::AES_256_CTR,
            cipher::AES_128_CTR,
        ]),
        mac: Cow::Borrowed(&[
            mac::HMAC_SHA512_ETM,
            mac::HMAC_SHA256_ETM,
            mac::HMAC_SHA512,
            mac::HMAC_SHA256,
        ]),
        // git packs what it sends.
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_old_is_offered() {
        let preferred = preferred();
        let names = [
            preferred
                .kex
                .iter()
                .map(AsRef::as_ref)
                .collect::<Vec<&str>>(),
            preferred.cipher.iter().map(AsRef::as_ref).collect(),
            preferred.mac.iter().map(AsRef::as_ref).collect(),
            preferred.key.iter().map(Algorithm::as_str).collect(),
        ]
        .concat();
        for name in names {
            let is_old = ["sha1", "cbc", "3des", "md5", "ssh-rsa", "ssh-dss", "none"]
                .iter()
                .any(|old| name.contains(old));
            assert!(!is_old, "{name}");
        }
    }
}
